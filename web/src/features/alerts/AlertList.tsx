import { Box, Group, SegmentedControl, Stack, Table, Text, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'

import { useT } from '../../i18n'
import { request } from '../../shared/api/client'
import type { AgentSchemas } from '../../shared/api/query'
import {
  Age,
  DateTime,
  Duration,
  Empty,
  ErrorState,
  Loading,
  Num,
  State,
  type StateKind,
} from '../../shared/ui'
import { nsToMs, ns as parseNs } from '../../shared/time'
import { Seen } from './Acknowledge'

type Alert = AgentSchemas['Alerts']['alerts'][number]

const kinds: Record<string, StateKind> = { critical: 'bad', warning: 'warn', info: 'idle' }

function ms(ns: string | null | undefined): number | undefined {
  const value = parseNs(ns)
  return value === undefined ? undefined : nsToMs(value)
}

/** What is wrong now, or what was. */
export function AlertList({ state }: { state: 'active' | 'cleared' }) {
  const t = useT('alerts')
  const [find, setFind] = useState('')
  const [severity, setSeverity] = useState('all')
  const { data, error, refetch } = useQuery({
    queryKey: ['alerts', 'past'],
    queryFn: () => request<AgentSchemas['Alerts']>('api/v1/alerts?past=1'),
  })
  if (error) return <ErrorState error={error} retry={() => void refetch()} />
  if (!data) return <Loading />
  const all = data.alerts.filter((a) => a.state === state)
  if (all.length === 0) {
    return state === 'active' ? (
      <Empty icon="ok" title={t('noneNow')} hint={t('noneNowHint')} />
    ) : (
      <Empty icon="alerts" title={t('nonePast')} hint={t('nonePastHint')} />
    )
  }
  const needle = find.trim().toLowerCase()
  const rows = all.filter(
    (a) =>
      (severity === 'all' || a.severity === severity) &&
      `${a.key} ${a.text}`.toLowerCase().includes(needle),
  )
  return (
    <Stack>
      <Group align="end">
        <TextInput
          label={t('find')}
          value={find}
          onChange={(e) => setFind(e.currentTarget.value)}
        />
        <SegmentedControl
          aria-label={t('severity')}
          value={severity}
          onChange={setSeverity}
          data={['all', 'critical', 'warning', 'info'].map((value) => ({
            value,
            label: t(`is.${value}`),
          }))}
        />
      </Group>
      {rows.length === 0 ? <Empty icon="search" title={t('noneFound')} /> : <Rows rows={rows} />}
    </Stack>
  )
}

function Rows({ rows }: { rows: Alert[] }) {
  const t = useT('alerts')
  return (
    <Table.ScrollContainer
      minWidth={860}
      type="native"
      tabIndex={0}
      role="region"
      aria-label={t('common:nav.alerts')}
    >
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('severity')}</Table.Th>
            <Table.Th>{t('what')}</Table.Th>
            <Table.Th>{t('since')}</Table.Th>
            <Table.Th ta="right">{t('lasts')}</Table.Th>
            <Table.Th ta="right">{t('times')}</Table.Th>
            <Table.Th visibleFrom="sm">{t('seen')}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((a) => (
            <Table.Tr key={`${a.key} ${a.since_ns ?? ''}`}>
              <Table.Td>
                <State kind={kinds[a.severity] ?? 'unknown'} label={t(`is.${a.severity}`)} />
              </Table.Td>
              <Table.Td className="bp-break">
                <Text size="sm">{a.text}</Text>
                <Text size="xs" c="dimmed" className="bp-mono">
                  {a.key}
                </Text>
                <Box hiddenFrom="sm" mt={4}>
                  <Seen alert={a} />
                </Box>
              </Table.Td>
              <Table.Td>
                <DateTime ns={a.since_ns} />
              </Table.Td>
              <Table.Td ta="right">
                <Lasts alert={a} />
              </Table.Td>
              <Table.Td ta="right">
                <Num value={a.count} />
              </Table.Td>
              <Table.Td visibleFrom="sm">
                <Seen alert={a} />
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}

function Lasts({ alert }: { alert: Alert }) {
  const from = ms(alert.since_ns)
  if (alert.state === 'active') return <Age at={from} />
  const to = ms(alert.cleared_ns)
  return (
    <Duration seconds={from === undefined || to === undefined ? undefined : (to - from) / 1000} />
  )
}
