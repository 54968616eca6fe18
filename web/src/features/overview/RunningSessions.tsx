import { Group, Paper, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'

import { useT } from '../../i18n'
import { request } from '../../shared/api/client'
import { type AgentSchemas, reaches, useRole } from '../../shared/api/query'
import { useServerTime } from '../../shared/live'
import { command, type RecorderCommand } from '../../shared/recorder'
import { ns, nsToMs } from '../../shared/time'
import { Bytes, ConfirmButton, DateTime, Duration, notify, Num, State } from '../../shared/ui'

type Session = AgentSchemas['Session']

/** Counters and "durable until" of sessions that run are not in the events. */
const ASK_EVERY_MS = 3000

export function RunningSessions() {
  const t = useT('overview')
  const { data } = useQuery({
    queryKey: ['sessions', 'newest'],
    queryFn: () => request<AgentSchemas['Sessions']>('api/v1/sessions?limit=30'),
    refetchInterval: ASK_EVERY_MS,
  })
  const running = (data?.sessions ?? []).filter(
    (s) => s.status === 'recording' || s.status === 'paused',
  )
  if (running.length === 0) return null
  return (
    <Stack gap="xs" aria-label={t('running')}>
      {running.map((s) => (
        <SessionRow key={s.id} session={s} />
      ))}
    </Stack>
  )
}

async function act(name: RecorderCommand, session: string, done: string): Promise<void> {
  try {
    await command(name, { session })
    notify.ok(done)
  } catch (error) {
    notify.bad(error)
  }
}

function SessionRow({ session: s }: { session: Session }) {
  const t = useT('overview')
  const may = reaches(useRole(), 'operator')
  const now = useServerTime(1000)
  const started = ns(s.started_ns)
  return (
    <Paper withBorder p="sm">
      <Group justify="space-between" gap="sm">
        <Stack gap={2} miw={0}>
          <Group gap="sm">
            <State
              kind={s.status === 'recording' ? 'ok' : 'warn'}
              icon={s.status === 'recording' ? 'record' : 'pause'}
              label={t(`state.${s.status}`)}
            />
            <Link to={`/sessions/${s.id}`} className="bp-break">
              {s.name}
            </Link>
          </Group>
          <Text size="sm" c="dimmed" component="div">
            <Duration
              seconds={
                started === undefined ? undefined : Math.round((now - nsToMs(started)) / 1000)
              }
            />{' '}
            · <Num value={s.messages} unit="msg" /> · <Bytes value={s.bytes} /> · {t('lost')}{' '}
            <Num value={s.lost} /> · {t('durableUntil')}{' '}
            <DateTime ns={s.durable_until_ns} date={false} digits={1} />
          </Text>
        </Stack>
        <ConfirmButton
          label={t('common:command.stop')}
          text={t('common:confirm.stop')}
          danger
          why={may ? undefined : t('common:why.role.operator')}
          onConfirm={() => act('session.stop', s.id, t('common:done.stop'))}
        />
      </Group>
    </Paper>
  )
}
