import { Group, Paper, SimpleGrid, Stack, Text } from '@mantine/core'
import type { ReactNode } from 'react'

import { useT } from '../../i18n'
import { kind } from '../../shared/api/client'
import { useServerTime } from '../../shared/live'
import { Bytes, DateTime, Duration, Num, State } from '../../shared/ui'
import { LostBadge, Whereabouts } from './columns'
import { Edit } from './Edit'
import { durationOf, isRunning, type Session } from './model'
import css from './sessions.module.css'
import { useSyncStates } from './useSyncStates'

function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div>
      <Text size="xs" c="dimmed" component="dt">
        {label}
      </Text>
      <Text size="sm" component="dd" className={`bp-break ${css.fact ?? ''}`}>
        {children}
      </Text>
    </div>
  )
}

function Figures({ session: s }: { session: Session }) {
  const t = useT('sessions')
  const now = useServerTime(1000, isRunning(s))
  const seconds = durationOf(s, isRunning(s) ? Math.round(now) : undefined)
  const rate = seconds && seconds > 0 ? s.bytes / seconds : undefined
  return (
    <SimpleGrid cols={{ base: 2, xs: 3, md: 6 }} component="dl" m={0} spacing="sm">
      <Fact label={t('started')}>
        <DateTime ns={s.started_ns} digits={3} />
      </Fact>
      <Fact label={t('duration')}>
        <Duration seconds={seconds} />
      </Fact>
      <Fact label={t('size')}>
        <Bytes value={s.bytes} />
        {rate !== undefined && (
          <>
            {' · '}
            <Bytes value={rate} />
            /s
          </>
        )}
      </Fact>
      <Fact label={t('messages')}>
        <Num value={s.messages} />
      </Fact>
      <Fact label={t(kind() === 'server' ? 'missing' : 'lost')}>
        <LostBadge lost={s.lost} />
      </Fact>
      <Fact label={t('segments')}>
        {s.segments_here === undefined ? (
          <Num value={s.segments} />
        ) : (
          t('here', { here: s.segments_here, all: s.segments })
        )}
      </Fact>
    </SimpleGrid>
  )
}

const signedLooks = { good: 'ok', bad: 'bad', unsigned: 'idle' } as const

/** What people wrote, and where it came from. */
function About({ session: s }: { session: Session }) {
  const t = useT('sessions')
  const syncOf = useSyncStates()
  return (
    <SimpleGrid cols={{ base: 2, xs: 3, md: 6 }} component="dl" m={0} spacing="sm">
      <Fact label={t('mission')}>{s.mission || '–'}</Fact>
      <Fact label={t('operator')}>{s.operator || '–'}</Fact>
      <Fact label={t('tags')}>{s.tags.join(', ') || '–'}</Fact>
      {s.robots && <Fact label={t('robots')}>{s.robots.join(', ') || '–'}</Fact>}
      {s.device !== undefined && <Fact label={t('device')}>{s.device || '–'}</Fact>}
      {s.received_ns !== undefined && (
        <Fact label={t('received')}>
          <DateTime ns={s.received_ns} />
        </Fact>
      )}
      {s.signed && (
        <Fact label={t('signature')}>
          <State kind={signedLooks[s.signed]} label={t(`signed.${s.signed}`)} />
        </Fact>
      )}
      {kind() === 'agent' && (
        <Fact label={t('where')}>
          <Whereabouts s={s} c={{ t, nowMs: 0, chosen: [], onChoose: () => undefined, syncOf }} />
        </Fact>
      )}
      {kind() === 'agent' && s.uploaded_ns && (
        <Fact label={t('uploaded')}>
          <DateTime ns={s.uploaded_ns} />
        </Fact>
      )}
      {s.class && <Fact label={t('class')}>{t(`classes.${s.class}`)}</Fact>}
      {s.outages !== undefined && s.outages > 0 && (
        <Fact label={t('outages')}>
          <Num value={s.outages} />
        </Fact>
      )}
      {s.keep !== undefined && <Fact label={t('kept')}>{t(s.keep ? 'yes' : 'no')}</Fact>}
      {s.durable_until_ns && (
        <Fact label={t('durableUntil')}>
          <DateTime ns={s.durable_until_ns} digits={3} />
        </Fact>
      )}
    </SimpleGrid>
  )
}

export function Facts({ session }: { session: Session }) {
  const t = useT('sessions')
  return (
    <Paper withBorder p="md">
      <Stack gap="md">
        <Figures session={session} />
        <About session={session} />
        <Group align="start" justify="space-between" wrap="nowrap">
          <div>
            <Text size="xs" c="dimmed">
              {t('notes')}
            </Text>
            <Text size="sm" className={`bp-break ${css.pre ?? ''}`}>
              {session.notes || '–'}
            </Text>
          </div>
          {session.status !== 'deleted' && <Edit session={session} />}
        </Group>
      </Stack>
    </Paper>
  )
}
