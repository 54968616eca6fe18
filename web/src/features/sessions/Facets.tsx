import { Button, Group, Stack, Text } from '@mantine/core'

import { useT } from '../../i18n'
import { Num } from '../../shared/ui'
import type { Page } from './queries'
import { facetOrder, hasTerm, termOf, toggleTerm } from './search'

interface FacetsProps {
  facets: NonNullable<Page['facets']>
  q: string
  onQuery: (q: string) => void
}

const SHOWN = 6

/** The most frequent values of what the server tells apart; a press adds a term to the query. */
export function Facets({ facets, q, onQuery }: FacetsProps) {
  const t = useT('sessions')
  return (
    <Stack gap="sm" component="section" aria-label={t('facets')}>
      {facetOrder.map((name) => {
        const values = facets[name] ?? []
        if (values.length === 0) return null
        return (
          <Stack key={name} gap={4}>
            <Text size="sm" fw={600}>
              {t(`facet.${name}`)}
            </Text>
            <Group gap={4}>
              {values.slice(0, SHOWN).map(({ value, sessions }) => {
                const term = termOf(name, value)
                const on = hasTerm(q, term)
                return (
                  <Button
                    key={value}
                    size="compact-xs"
                    variant={on ? 'filled' : 'default'}
                    aria-pressed={on}
                    maw="100%"
                    fw={400}
                    title={value}
                    rightSection={<Num value={sessions} />}
                    onClick={() => onQuery(toggleTerm(q, term))}
                  >
                    {value === '' ? t('none.value') : value}
                  </Button>
                )
              })}
            </Group>
          </Stack>
        )
      })}
    </Stack>
  )
}
