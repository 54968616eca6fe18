import { Grid, Group, Paper, Progress, Stack, Table, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'

import { useT } from '../../i18n'
import { request } from '../../shared/api/client'
import type { AgentSchemas } from '../../shared/api/query'
import { useConnection } from '../../shared/live'
import { ns, nsToMs } from '../../shared/time'
import {
  Age,
  Bytes,
  Duration,
  Empty,
  ErrorState,
  Num,
  Rate,
  State,
  type StateKind,
} from '../../shared/ui'
import type { Status } from './AgentOverview'
import { timeUntilFull } from './rates'

export function Card({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Grid.Col span={{ base: 12, sm: 6, lg: 4 }}>
      <Paper withBorder p="md" h="100%">
        <Stack gap="xs">
          <Text fw={600} component="h2" size="md" m={0}>
            {title}
          </Text>
          {children}
        </Stack>
      </Paper>
    </Grid.Col>
  )
}

export function Line({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Group justify="space-between" wrap="nowrap">
      <Text size="sm" c="dimmed">
        {label}
      </Text>
      <Text size="sm" component="div">
        {children}
      </Text>
    </Group>
  )
}

interface StatusProps {
  status: Status
}

/** How full a disk is. */
export function Room({ free, size }: { free: number | undefined; size: number | undefined }) {
  const t = useT('overview')
  const full = size && free !== undefined ? ((size - free) / size) * 100 : 0
  return (
    <>
      <Progress value={full} aria-label={t('used')} color={full > 90 ? 'red' : 'cyan'} />
      <Line label={t('free')}>
        <Bytes value={free} />
      </Line>
      <Line label={t('size')}>
        <Bytes value={size} />
      </Line>
    </>
  )
}

export function StorageCard({
  status,
  bytesPerSecond,
}: StatusProps & { bytesPerSecond: number | undefined }) {
  const t = useT('overview')
  const { free, size } = status.storage
  const writes = status.state === 'recording' ? bytesPerSecond : undefined
  return (
    <Card title={t('storage')}>
      <Room free={free} size={size} />
      <Line label={t('untilFull')}>
        <Duration seconds={free === undefined ? undefined : timeUntilFull(free, writes)} />
      </Line>
    </Card>
  )
}

export function RingCard({ status }: StatusProps) {
  const t = useT('overview')
  const { used, size } = status.ring
  return (
    <Card title={t('ring')}>
      <Progress value={size ? (used / size) * 100 : 0} aria-label={t('used')} />
      <Line label={t('used')}>
        <Bytes value={used} />
      </Line>
      <Line label={t('size')}>
        <Bytes value={size} />
      </Line>
      <Line label={t('topics')}>
        <Num value={status.graph.subscribed} /> / <Num value={status.graph.topics} />
      </Line>
    </Card>
  )
}

const syncKinds: Record<string, StateKind> = {
  online: 'ok',
  offline: 'bad',
  waiting: 'warn',
  paused: 'warn',
  closed_window: 'idle',
}

interface SyncLike {
  state?: string
  text?: string
  waiting_files?: number
  waiting_bytes?: number
  rate?: number
  eta_s?: number | null
}

export function SyncCard({ status }: StatusProps) {
  const t = useT('overview')
  const sync = (status as { sync?: SyncLike | null }).sync
  if (!sync?.state) {
    return (
      <Card title={t('sync')}>
        <State kind="idle" label={t('noSync')} />
      </Card>
    )
  }
  return (
    <Card title={t('sync')}>
      <State kind={syncKinds[sync.state] ?? 'unknown'} label={t(`syncState.${sync.state}`)} />
      {sync.text && (
        <Text size="sm" className="bp-break">
          {sync.text}
        </Text>
      )}
      <Line label={t('waiting')}>
        <Num value={sync.waiting_files} /> · <Bytes value={sync.waiting_bytes} />
      </Line>
      <Line label={t('rate')}>
        <Rate value={sync.rate} />
      </Line>
      <Line label={t('eta')}>
        <Duration seconds={sync.eta_s} />
      </Line>
    </Card>
  )
}

export function LossCard({ status }: StatusProps) {
  const t = useT('overview')
  const causes = Object.entries(
    (status as { lost_by_cause?: Record<string, number> }).lost_by_cause ?? {},
  ).filter(([, n]) => Number(n) > 0)
  return (
    <Card title={t('lost')}>
      {causes.length === 0 && <State kind="ok" label={t('nothingLost')} />}
      {causes.map(([cause, n]) => (
        <Line key={cause} label={t(`cause.${cause}`)}>
          <Num value={Number(n)} />
        </Line>
      ))}
    </Card>
  )
}

interface LinkLike {
  configured: boolean
  state?: string
  since_ns?: string
  error?: string
  waiting?: number
  waiting_bytes?: number
}

const linkKinds: Record<string, StateKind> = {
  connected: 'ok',
  connecting: 'warn',
  waiting: 'bad',
}

const LINK_EVERY_MS = 5000

/** The way from here to the server, and from the browser to here. */
export function NetworkCard() {
  const t = useT('overview')
  const connection = useConnection()
  const { data: link, error } = useQuery({
    queryKey: ['link'],
    queryFn: () => request<LinkLike>('api/v1/link'),
    refetchInterval: LINK_EVERY_MS, // the link's state is no event
  })
  const since = ns(link?.since_ns)
  return (
    <Card title={t('network')}>
      <Line label={t('toBrowser')}>
        <Num value={connection.state === 'open' ? connection.latencyMs : undefined} unit="ms" />
      </Line>
      {error && !link && <ErrorState error={error} />}
      {link && !link.configured && <State kind="idle" label={t('noLink')} />}
      {link?.configured && (
        <>
          <Line label={t('toServer')}>
            <State
              kind={linkKinds[link.state ?? ''] ?? 'unknown'}
              label={t(`link.${link.state ?? 'unknown'}`)}
            />
          </Line>
          <Line label={t('linkSince')}>
            <Age at={since === undefined ? undefined : nsToMs(since)} />
          </Line>
          <Line label={t('linkWaiting')}>
            <Num value={link.waiting} /> · <Bytes value={link.waiting_bytes} />
          </Line>
          {link.error && (
            <Text size="sm" className="bp-break">
              {link.error}
            </Text>
          )}
        </>
      )}
    </Card>
  )
}

/** As many alerts stand on the card. */
const ALERTS = 5

export function AlertsCard() {
  const t = useT('overview')
  const { data, error, refetch } = useQuery({
    queryKey: ['alerts'],
    queryFn: () => request<AgentSchemas['Alerts']>('api/v1/alerts'),
  })
  const alerts = data?.alerts ?? []
  return (
    <Card title={t('common:nav.alerts')}>
      {error && !data && <ErrorState error={error} retry={() => void refetch()} />}
      {data && alerts.length === 0 && <State kind="ok" label={t('noAlerts')} />}
      {alerts.slice(0, ALERTS).map((a) => (
        <Stack key={a.key} gap={0}>
          <State
            kind={a.severity === 'critical' ? 'bad' : a.severity === 'warning' ? 'warn' : 'idle'}
            label={a.key}
          />
          <Text size="sm" className="bp-break">
            {a.text}
          </Text>
        </Stack>
      ))}
      {alerts.length > ALERTS && (
        <Link to="/alerts">{t('moreAlerts', { count: alerts.length - ALERTS })}</Link>
      )}
    </Card>
  )
}

interface RobotLike {
  robot: string
  topics: number
  rate: number
  byte_rate: number
  lost: number
}

export function RobotsCard({ status }: StatusProps) {
  const t = useT('overview')
  const robots = (status as { robots?: RobotLike[] }).robots ?? []
  return (
    <Grid.Col span={12}>
      <Paper withBorder p="md" h="100%">
        <Text fw={600} component="h2" size="md" m={0}>
          {t('robots')}
        </Text>
        {robots.length === 0 && (
          <Empty icon="robot" title={t('nothingSeen')} hint={t('nothingSeenHint')} />
        )}
        <Table.ScrollContainer
          minWidth={420}
          type="native"
          tabIndex={0}
          role="region"
          aria-label={t('robots')}
          hidden={robots.length === 0}
        >
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('common:robot')}</Table.Th>
                <Table.Th ta="right">{t('topics')}</Table.Th>
                <Table.Th ta="right">{t('messageRate')}</Table.Th>
                <Table.Th ta="right">{t('byteRate')}</Table.Th>
                <Table.Th ta="right">{t('lost')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {robots.map((r) => (
                <Table.Tr key={r.robot}>
                  <Table.Td className="bp-break">{r.robot}</Table.Td>
                  <Table.Td ta="right">
                    <Num value={r.topics} />
                  </Table.Td>
                  <Table.Td ta="right">
                    <Rate value={r.rate} of="messages" />
                  </Table.Td>
                  <Table.Td ta="right">
                    <Rate value={r.byte_rate} />
                  </Table.Td>
                  <Table.Td ta="right">
                    <Num value={r.lost} />
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      </Paper>
    </Grid.Col>
  )
}
