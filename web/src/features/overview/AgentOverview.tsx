import { Grid, Group, Paper, Stack, Text } from '@mantine/core'
import { useEffect, useState } from 'react'

import { CommandButton } from '../../app/CommandButton'
import { useT } from '../../i18n'
import type { AgentSchemas } from '../../shared/api/query'
import { subscribe, useTopic } from '../../shared/live'
import { Age, formatNumber, Loading, Page, Plot, State, type StateKind } from '../../shared/ui'
import {
  AlertsCard,
  LossCard,
  NetworkCard,
  RingCard,
  RobotsCard,
  StorageCard,
  SyncCard,
} from './Cards'
import { type Rates, RateRing } from './rates'
import { RunningSessions } from './RunningSessions'

export type Status = AgentSchemas['Status']

const kinds: Record<string, StateKind> = {
  recording: 'ok',
  paused: 'warn',
  idle: 'idle',
  disk_full: 'bad',
}

/** Seconds that the plots show. */
const WINDOW_S = 120

const COMMANDS = [
  'session.start',
  'session.pause',
  'session.resume',
  'session.stop',
  'session.split',
  'session.mark',
  'snapshot',
  'sync.now',
]

// The page may be left and come back: what was drawn stays.
const ring = new RateRing()

function useRates(): Rates {
  const [rates, setRates] = useState(() => ring.read())
  useEffect(
    () =>
      subscribe('status', {
        event: (data, meta) => {
          ring.add(data as Status, meta.timeMs)
          setRates(ring.read())
        },
      }),
    [],
  )
  return rates
}

export function AgentOverview() {
  const t = useT('overview')
  const { data: status, at, stale } = useTopic<Status>('status')
  const rates = useRates()
  if (!status) {
    return (
      <Page title={t('common:nav.overview')}>
        <Loading lines={6} />
      </Page>
    )
  }
  return (
    <Page title={t('common:nav.overview')}>
      <Paper withBorder p="md">
        <Group justify="space-between" gap="md">
          <Stack gap={2}>
            <div className="bp-big" role="status">
              <State
                kind={stale ? 'unknown' : (kinds[status.state] ?? 'unknown')}
                icon={status.state === 'recording' ? 'record' : undefined}
                label={t(`state.${status.state}`)}
              />
            </div>
            <Text size="sm" c="dimmed" className={stale ? 'bp-stale' : undefined}>
              {t('asOf')} <Age at={at} />
            </Text>
          </Stack>
          <Group gap="xs">
            {COMMANDS.map((id) => (
              <CommandButton
                key={id}
                id={id}
                variant={id === 'session.start' && status.state === 'idle' ? 'filled' : 'default'}
              />
            ))}
          </Group>
        </Group>
      </Paper>
      <RunningSessions />
      <RatePlots rates={rates} />
      <Grid gap="md">
        <StorageCard status={status} bytesPerSecond={ring.bytesPerSecond()} />
        <RingCard status={status} />
        <SyncCard status={status} />
        <LossCard status={status} />
        <AlertsCard />
        <NetworkCard />
        <RobotsCard status={status} />
      </Grid>
    </Page>
  )
}

function RatePlots({ rates }: { rates: Rates }) {
  const t = useT('overview')
  const last = rates.x[rates.x.length - 1]
  const range: [number, number] | undefined =
    last === undefined ? undefined : [last - WINDOW_S, last]
  const plots = [
    { label: t('messageRate'), y: rates.messages, unit: 'msg/s', digits: 0 },
    { label: t('byteRate'), y: rates.megabytes, unit: 'MB/s', digits: 2 },
  ]
  return (
    <Grid gap="md">
      {plots.map((p) => (
        <Grid.Col key={p.unit} span={{ base: 12, md: 6 }}>
          <Paper withBorder p="md">
            <Group justify="space-between">
              <Text fw={600} component="h2" size="md" m={0}>
                {p.label}
              </Text>
              <Text className="bp-num" fw={600}>
                {p.y.length > 0 ? formatNumber(p.y[p.y.length - 1] ?? 0, p.digits) : '–'} {p.unit}
              </Text>
            </Group>
            <Plot
              height={180}
              {...(range ? { range } : {})}
              label={p.label}
              cursor="overview"
              zero
              series={[{ label: p.label, x: rates.x, y: p.y, unit: p.unit }]}
              format={(v) => formatNumber(v, p.digits)}
            />
          </Paper>
        </Grid.Col>
      ))}
    </Grid>
  )
}
