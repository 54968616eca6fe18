import { Button, Grid, Group, Paper, Stack, Table, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'

import { CommandButton } from '../../app/CommandButton'
import { useT } from '../../i18n'
import { request } from '../../shared/api/client'
import { setSettings, useSettings } from '../../shared/settings'
import { ns, nsToMs } from '../../shared/time'
import {
  Age,
  Bytes,
  Empty,
  ErrorState,
  Loading,
  Num,
  Page,
  Rate,
  State,
  type StateKind,
} from '../../shared/ui'

import { AlertsCard } from './Cards'
import { ArchiveCard, ServerCard } from './ServerCards'

interface RobotRow {
  robot: string | null
  device: string
  name: string
  state: string
  seen_ns: string | null
  does: string | null
}

interface DeviceStatus {
  status?: {
    state?: string
    robots?: { robot: string; rate: number; byte_rate: number; lost: number }[]
    storage?: { free?: number; size?: number }
    sync?: { state?: string; waiting_bytes?: number } | null
    sessions?: { running?: number; lost?: number }
  } | null
}

const kinds: Record<string, StateKind> = { online: 'ok', stale: 'warn', offline: 'bad' }
const ASK_EVERY_MS = 5000
const COMMANDS = [
  'session.start',
  'session.pause',
  'session.resume',
  'session.stop',
  'session.mark',
  'snapshot',
  'sync.now',
]

export function ServerOverview() {
  const t = useT('overview')
  const { robot } = useSettings()
  const robots = useQuery({
    queryKey: ['robots'],
    queryFn: () => request<{ robots: RobotRow[] }>('api/v1/robots'),
    refetchInterval: ASK_EVERY_MS,
  })
  return (
    <Page title={t('common:nav.overview')}>
      <Grid gap="md">
        <ArchiveCard />
        <ServerCard />
        <AlertsCard />
      </Grid>
      {robots.isPending && <Loading />}
      {robots.error && <ErrorState error={robots.error} retry={() => void robots.refetch()} />}
      {robots.data && robots.data.robots.length === 0 && (
        <Empty icon="robot" title={t('noRobots')} hint={t('noRobotsHint')} />
      )}
      {robots.data && robots.data.robots.length > 0 && (
        <>
          <Paper withBorder p="md">
            <Group justify="space-between">
              <Text fw={600}>
                {robot === '' ? t('chooseRobot') : nameOf(robots.data.robots, robot)}
              </Text>
              <Group gap="xs">
                {COMMANDS.map((id) => (
                  <CommandButton key={id} id={id} />
                ))}
              </Group>
            </Group>
          </Paper>
          <Grid gap="md">
            {devicesOf(robots.data.robots).map((rows) => (
              <DeviceCard key={rows[0]?.device} rows={rows} chosen={rows[0]?.device === robot} />
            ))}
          </Grid>
        </>
      )}
    </Page>
  )
}

function devicesOf(rows: RobotRow[]): RobotRow[][] {
  const by = new Map<string, RobotRow[]>()
  for (const r of rows) by.set(r.device, [...(by.get(r.device) ?? []), r])
  return [...by.values()]
}

function nameOf(rows: RobotRow[], device: string): string {
  const mine = rows.filter((r) => r.device === device)
  return mine.map((r) => r.robot ?? r.name).join(', ') || device
}

function DeviceCard({ rows, chosen }: { rows: RobotRow[]; chosen: boolean }) {
  const t = useT('overview')
  const first = rows[0]
  const device = first?.device ?? ''
  const { data } = useQuery({
    queryKey: ['devices', device, 'status'],
    queryFn: () => request<DeviceStatus>(`api/v1/devices/${encodeURIComponent(device)}/status`),
    refetchInterval: ASK_EVERY_MS,
  })
  if (!first) return null
  const s = data?.status
  const seen = ns(first.seen_ns)
  return (
    <Grid.Col span={{ base: 12, md: 6, xl: 4 }}>
      <Paper withBorder p="md" h="100%" className={chosen ? 'bp-chosen' : undefined}>
        <Stack gap="xs">
          <Group justify="space-between">
            <Text fw={600} component="h2" size="md" m={0} className="bp-break">
              {first.name}
            </Text>
            <Group gap="sm">
              <State kind={kinds[first.state] ?? 'unknown'} label={t(`device.${first.state}`)} />
              <Button
                size="compact-sm"
                variant={chosen ? 'filled' : 'default'}
                aria-pressed={chosen}
                aria-label={t('chooseOne', { name: first.name })}
                onClick={() => setSettings({ robot: chosen ? '' : device })}
              >
                {t(chosen ? 'chosen' : 'choose')}
              </Button>
            </Group>
          </Group>
          <Text size="sm" c="dimmed" component="div">
            {t('heard')} <Age at={seen === undefined ? undefined : nsToMs(seen)} /> ·{' '}
            {t(`state.${s?.state ?? first.does ?? 'unknown'}`)} · {t('free')}{' '}
            <Bytes value={s?.storage?.free} />
            {s?.sync?.state ? ` · ${t('sync')} ${t(`syncState.${s.sync.state}`)}` : ''}
          </Text>
          <Table>
            <Table.Tbody>
              {rows.map((r) => {
                const live = s?.robots?.find((one) => one.robot === r.robot)
                return (
                  <Table.Tr key={r.robot ?? ''}>
                    <Table.Td className="bp-break">{r.robot ?? t('noRobot')}</Table.Td>
                    <Table.Td ta="right">
                      <Rate value={live?.rate} of="messages" />
                    </Table.Td>
                    <Table.Td ta="right">
                      <Rate value={live?.byte_rate} />
                    </Table.Td>
                    <Table.Td ta="right">
                      {t('lost')} <Num value={live?.lost} />
                    </Table.Td>
                  </Table.Tr>
                )
              })}
            </Table.Tbody>
          </Table>
        </Stack>
      </Paper>
    </Grid.Col>
  )
}
