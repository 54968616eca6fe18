import { Button, Code, Drawer, Group, Select, Stack, Table, Text, TextInput } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import { useDeferredValue, useMemo, useState } from 'react'

import { type Translate, useT } from '../../i18n'
import {
  type Column,
  DateTime,
  Empty,
  ErrorState,
  Icon,
  Loading,
  Page,
  State,
  type StateKind,
  VirtualTable,
} from '../../shared/ui'
import { type Filter, type Level, levels, type LogLine, pick, sourcesOf, split } from './lines'
import { useLog } from './useLog'

const kinds: Record<Level, StateKind> = {
  error: 'bad',
  warning: 'warn',
  notice: 'idle',
  info: 'idle',
  debug: 'unknown',
}

function columnsOf(t: Translate, narrow: boolean): Column<LogLine>[] {
  return [
    {
      id: 'time',
      title: t('time'),
      width: narrow ? '120px' : '240px',
      render: (l) => <DateTime ns={l.time_ns} digits={narrow ? 0 : 3} date={!narrow} />,
    },
    {
      id: 'level',
      title: t('level'),
      width: '130px',
      render: (l) => <State kind={kinds[l.level]} label={t(`is.${l.level}`)} />,
    },
    { id: 'text', title: t('text'), width: 'minmax(320px, 1fr)', render: (l) => l.text },
  ]
}

export default function LogsPage() {
  const t = useT('logs')
  const { lines, error, retry } = useLog()
  const [paused, setPaused] = useState<LogLine[] | undefined>()
  const fresh = paused && lines ? newer(lines, paused) : 0
  return (
    <Page
      title={t('common:nav.logs')}
      actions={
        lines && (
          <Button
            variant="default"
            aria-pressed={paused !== undefined}
            leftSection={<Icon name={paused ? 'play' : 'pause'} />}
            onClick={() => setPaused(paused ? undefined : lines)}
          >
            {paused ? t('resume', { count: fresh }) : t('pause')}
          </Button>
        )
      }
    >
      {error !== undefined && <ErrorState error={error} retry={retry} />}
      {!lines && error === undefined && <Loading lines={8} />}
      {lines && <Lines lines={paused ?? lines} />}
    </Page>
  )
}

function newer(lines: LogLine[], than: LogLine[]): number {
  const last = than[than.length - 1]?.number ?? 0
  return lines.filter((l) => l.number > last).length
}

function Lines({ lines }: { lines: LogLine[] }) {
  const t = useT('logs')
  const [filter, setFilter] = useState<Filter>({ level: 'debug', find: '', source: '' })
  const [chosen, setChosen] = useState<LogLine | undefined>()
  const wanted = useDeferredValue(filter)
  const rows = useMemo(() => pick(lines, wanted), [lines, wanted])
  const narrow = useMediaQuery('(max-width: 48em)')
  const columns = useMemo(() => columnsOf(t, narrow), [t, narrow])
  if (lines.length === 0) return <Empty icon="logs" title={t('none')} hint={t('noneHint')} />
  return (
    <>
      <Filters lines={lines} filter={filter} onChange={setFilter} shown={rows.length} />
      {rows.length === 0 ? (
        <Empty icon="search" title={t('noneFound')} hint={t('noneFoundHint')} />
      ) : (
        <VirtualTable
          label={t('common:nav.logs')}
          columns={columns}
          rows={rows}
          rowKey={(l) => String(l.number)}
          onRow={setChosen}
          {...(chosen ? { selected: String(chosen.number) } : {})}
          height="max(320px, calc(100dvh - 240px))"
        />
      )}
      <Details line={chosen} onClose={() => setChosen(undefined)} />
    </>
  )
}

interface FiltersProps {
  lines: LogLine[]
  filter: Filter
  onChange: (filter: Filter) => void
  shown: number
}

function Filters({ lines, filter, onChange, shown }: FiltersProps) {
  const t = useT('logs')
  const sources = useMemo(() => [...new Set(lines.flatMap(sourcesOf))].sort(), [lines])
  return (
    <Group gap="sm" align="start">
      <TextInput
        label={t('find')}
        value={filter.find}
        w={280}
        description={t('count', { count: shown, all: lines.length })}
        inputWrapperOrder={['label', 'input', 'description']}
        onChange={(e) => onChange({ ...filter, find: e.currentTarget.value })}
      />
      <Select
        label={t('atLeast')}
        value={filter.level}
        allowDeselect={false}
        data={levels.map((value) => ({ value, label: t(`is.${value}`) }))}
        onChange={(v) => onChange({ ...filter, level: (v ?? 'debug') as Level })}
      />
      <Select
        label={t('source')}
        placeholder={t('any')}
        value={filter.source === '' ? null : filter.source}
        clearable
        searchable
        w={300}
        clearButtonProps={{ 'aria-label': t('any') }}
        nothingFoundMessage={t('noneFound')}
        data={sources}
        onChange={(v) => onChange({ ...filter, source: v ?? '' })}
      />
    </Group>
  )
}

function Details({ line, onClose }: { line: LogLine | undefined; onClose: () => void }) {
  const t = useT('logs')
  const { message, fields } = split(line?.text ?? '')
  return (
    <Drawer
      opened={line !== undefined}
      onClose={onClose}
      position="right"
      title={t('line', { number: line?.number ?? 0 })}
      closeButtonProps={{ 'aria-label': t('common:close') }}
    >
      {line && (
        <Stack gap="sm">
          <State kind={kinds[line.level]} label={t(`is.${line.level}`)} />
          <DateTime ns={line.time_ns} digits={9} />
          <Code block className="bp-break">
            {message}
          </Code>
          {fields.length > 0 && (
            <Table>
              <Table.Tbody>
                {fields.map((f, i) => (
                  <Table.Tr key={i}>
                    <Table.Th scope="row">{f.key}</Table.Th>
                    <Table.Td className="bp-break">{f.value}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )}
          {line.cut && <Text size="sm">{t('cut')}</Text>}
        </Stack>
      )}
    </Drawer>
  )
}
