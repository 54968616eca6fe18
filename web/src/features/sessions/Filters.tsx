import { Anchor, Code, Group, Popover, Select, Stack, Text, TextInput } from '@mantine/core'

import { useT } from '../../i18n'
import { kind } from '../../shared/api/client'
import { Icon, type Sort } from '../../shared/ui'

/** What is asked for, as it stands in the fields. */
export interface Asked {
  q: string
  status: string
  /** days as `2026-11-29`, in the zone that was chosen */
  from: string
  to: string
  sort: Sort
}

export const nothingAsked: Asked = {
  q: '',
  status: '',
  from: '',
  to: '',
  sort: { by: 'started', down: true },
}

export function isFiltered(a: Asked): boolean {
  return a.q.trim() !== '' || a.status !== '' || a.from !== '' || a.to !== ''
}

const states = {
  agent: ['recording', 'paused', 'finished', 'failed', 'deleted'],
  server: ['receiving', 'finished', 'failed', 'deleted'],
}

interface FiltersProps {
  asked: Asked
  onChange: (change: Partial<Asked>) => void
}

export function Filters({ asked, onChange }: FiltersProps) {
  const t = useT('sessions')
  return (
    <Group gap="sm" align="end">
      <TextInput
        label={t('common:search')}
        placeholder={t(kind() === 'server' ? 'searchServer' : 'searchAgent')}
        value={asked.q}
        onChange={(e) => onChange({ q: e.currentTarget.value })}
        leftSection={<Icon name="search" />}
        flex="1 1 260px"
        maw={560}
        type="search"
        maxLength={4096}
      />
      <Select
        label={t('state')}
        value={asked.status}
        data={[
          { value: '', label: t('anyState') },
          ...states[kind()].map((value) => ({ value, label: t(`status.${value}`) })),
        ]}
        allowDeselect={false}
        w={160}
        onChange={(v) => onChange({ status: v ?? '' })}
      />
      <TextInput
        type="date"
        label={t('from')}
        value={asked.from}
        max={asked.to || undefined}
        w={150}
        onChange={(e) => onChange({ from: e.currentTarget.value })}
      />
      <TextInput
        type="date"
        label={t('to')}
        value={asked.to}
        min={asked.from || undefined}
        w={150}
        onChange={(e) => onChange({ to: e.currentTarget.value })}
      />
      {kind() === 'server' && <QueryHelp />}
    </Group>
  )
}

const terms = ['robot', 'topic', 'tag', 'date', 'lost', 'size', 'not', 'phrase'] as const

/** What a query of the server may say. */
function QueryHelp() {
  const t = useT('sessions')
  return (
    <Popover width={360} position="bottom-end" withArrow>
      <Popover.Target>
        <Anchor component="button" type="button" size="sm" pb={8}>
          {t('query.title')}
        </Anchor>
      </Popover.Target>
      <Popover.Dropdown>
        <Stack gap={6}>
          {terms.map((term) => (
            <Text key={term} size="sm" component="div">
              <Code>{t(`query.${term}.say`)}</Code> {t(`query.${term}.finds`)}
            </Text>
          ))}
        </Stack>
      </Popover.Dropdown>
    </Popover>
  )
}
