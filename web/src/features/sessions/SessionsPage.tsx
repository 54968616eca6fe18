import { Box, Button, Flex, Group, Stack, Text } from '@mantine/core'
import { useDebouncedValue, useMediaQuery } from '@mantine/hooks'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useMemo, useState } from 'react'

import { CommandButton } from '../../app/CommandButton'
import { useT } from '../../i18n'
import { kind } from '../../shared/api/client'
import { useServerTime } from '../../shared/live'
import { useSettings } from '../../shared/settings'
import { Empty, ErrorState, Icon, Loading, Page, VirtualTable } from '../../shared/ui'
import { narrowColumns, wideColumns, type RowContext } from './columns'
import { Facets } from './Facets'
import { Filters, isFiltered, nothingAsked, type Asked } from './Filters'
import type { Session } from './model'
import { sessionsQuery, type Filter } from './queries'
import { choose, dayNs } from './search'
import { useSyncStates } from './useSyncStates'

const TYPING_MS = 250
const ROW_PX = 52

// Kept while other pages are looked at, so that going back finds the same list.
let kept: Asked = nothingAsked

function useAsked(): [Asked, (change: Partial<Asked>) => void] {
  const [asked, setAsked] = useState(kept)
  const change = (c: Partial<Asked>) => {
    kept = { ...kept, ...c }
    setAsked(kept)
  }
  return [asked, change]
}

function useFilter(asked: Asked): Filter {
  const { zone, robotOffsetMin } = useSettings()
  const [q] = useDebouncedValue(asked.q, TYPING_MS)
  const { status, from, to, sort } = asked
  return useMemo(
    () => ({
      q,
      status,
      fromNs: dayNs(from, zone, robotOffsetMin),
      toNs: dayNs(to, zone, robotOffsetMin, 1),
      sort,
    }),
    [q, status, from, to, sort, zone, robotOffsetMin],
  )
}

export default function SessionsPage() {
  const t = useT('sessions')
  const [asked, change] = useAsked()
  const [chosen, setChosen] = useState<string[]>([])
  const found = useInfiniteQuery(sessionsQuery(useFilter(asked)))
  const pages = found.data?.pages
  const rows = useMemo(() => pages?.flatMap((p) => p.sessions) ?? [], [pages])
  const facets = pages?.[0]?.facets
  const beside = useMediaQuery('(min-width: 96em)', false, { getInitialValueInEffect: false })
  const actions = (
    <>
      <CommandButton id="session.start" variant="filled" />
      <CompareButton chosen={chosen} />
    </>
  )
  return (
    <Page title={t('title')} actions={actions}>
      <Filters asked={asked} onChange={change} />
      {found.error && <ErrorState error={found.error} retry={() => void found.refetch()} />}
      {found.isPending && <Loading lines={8} />}
      {!found.error && found.data && (
        <Flex direction={beside ? 'row' : 'column'} gap="md">
          {facets && (
            <Box component="details" w={{ lg: 230 }} style={{ flex: 'none' }} open={beside}>
              <summary>{t('facets')}</summary>
              <Facets facets={facets} q={asked.q} onQuery={(q) => change({ q })} />
            </Box>
          )}
          <Stack gap="xs" miw={0} flex={1}>
            {rows.length === 0 ? (
              <NoSessions filtered={isFiltered(asked)} onClear={() => change(nothingAsked)} />
            ) : (
              <List
                rows={rows}
                asked={asked}
                onChange={change}
                chosen={chosen}
                onChoose={(id) => setChosen((c) => choose(c, id))}
              />
            )}
            <Group gap="md">
              {rows.length > 0 && <Count shown={rows.length} page={pages?.[0]} />}
              {found.hasNextPage && (
                <Button
                  size="xs"
                  variant="default"
                  loading={found.isFetchingNextPage}
                  onClick={() => void found.fetchNextPage()}
                >
                  {t('more')}
                </Button>
              )}
            </Group>
          </Stack>
        </Flex>
      )}
    </Page>
  )
}

function Count({
  shown,
  page,
}: {
  shown: number
  page: { total?: number; total_exact?: boolean } | undefined
}) {
  const t = useT('sessions')
  const all = page?.total
  const text =
    all === undefined
      ? t('shown', { count: shown })
      : t(page?.total_exact === false ? 'shownOfMore' : 'shownOf', { count: shown, all })
  return (
    <Text size="sm" c="dimmed" role="status">
      {text}
    </Text>
  )
}

interface ListProps {
  rows: Session[]
  asked: Asked
  onChange: (change: Partial<Asked>) => void
  chosen: readonly string[]
  onChoose: (id: string) => void
}

function List({ rows, asked, onChange, chosen, onChoose }: ListProps) {
  const t = useT('sessions')
  const narrow = useMediaQuery('(max-width: 48em)', false, { getInitialValueInEffect: false })
  const running = rows.some((s) => s.ended_ns === null)
  const nowMs = Math.round(useServerTime(1000, running))
  const syncOf = useSyncStates()
  const navigate = useNavigate()
  const context: RowContext = { t, nowMs, chosen, onChoose, syncOf }
  return (
    <VirtualTable<Session>
      label={t('title')}
      columns={narrow ? narrowColumns(context) : wideColumns(context)}
      rows={rows}
      rowKey={(s) => s.id}
      rowHeight={ROW_PX}
      {...(kind() === 'server'
        ? { sort: { value: asked.sort, onChange: (sort) => onChange({ sort }) } }
        : {})}
      onRow={(s) => void navigate({ to: `/sessions/${encodeURIComponent(s.id)}` })}
      height={`clamp(200px, ${rows.length * ROW_PX + 56}px, calc(100dvh - 250px))`}
    />
  )
}

function CompareButton({ chosen }: { chosen: readonly string[] }) {
  const t = useT('sessions')
  const navigate = useNavigate()
  const [a = '', b = ''] = chosen
  const go = () => void navigate({ to: '/sessions/compare', search: { a, b } as never })
  return (
    <Button
      variant="default"
      visibleFrom="sm"
      disabled={chosen.length !== 2}
      title={chosen.length === 2 ? undefined : t('compare.hint')}
      leftSection={<Icon name="grid" />}
      onClick={go}
    >
      {t('compare.go')}
    </Button>
  )
}

function NoSessions({ filtered, onClear }: { filtered: boolean; onClear: () => void }) {
  const t = useT('sessions')
  if (!filtered) {
    return (
      <Empty
        icon="sessions"
        title={t('none.title')}
        hint={t(kind() === 'server' ? 'none.hintServer' : 'none.hintAgent')}
      />
    )
  }
  return (
    <Empty
      icon="search"
      title={t('none.found')}
      hint={t('none.foundHint')}
      action={
        <Button size="xs" variant="default" onClick={onClear}>
          {t('clear')}
        </Button>
      }
    />
  )
}
