import { Checkbox, Text } from '@mantine/core'

import type { Translate } from '../../i18n'
import { kind } from '../../shared/api/client'
import {
  Bytes,
  type Column,
  DateTime,
  Duration,
  Icon,
  Num,
  State,
  type StateKind,
} from '../../shared/ui'
import { durationOf, isRunning, lookOf, type Session, type Status } from './model'
import type { SyncState } from './useSyncStates'

export interface RowContext {
  t: Translate
  nowMs: number
  chosen: readonly string[]
  onChoose: (id: string) => void
  syncOf: (id: string) => SyncState | 'none' | undefined
}

export function StatusOf({ status, t }: { status: Status; t: Translate }) {
  return <State {...lookOf(status)} label={t(`status.${status}`)} />
}

export function LostBadge({ lost }: { lost: number }) {
  if (lost === 0) return <Num value={0} />
  return (
    <span className="bp-state bp-state-warn">
      <Icon name="warn" size={16} />
      <Num value={lost} />
    </span>
  )
}

/** What a session is about, in one line. */
function About({ s }: { s: Session }) {
  const robots = (s.robots ?? []).join(', ')
  const text = [robots, s.mission, s.tags.map((tag) => `#${tag}`).join(' ')].filter(Boolean)
  if (text.length === 0) return null
  return (
    <Text size="xs" c="dimmed" truncate title={text.join(' · ')}>
      {text.join(' · ')}
    </Text>
  )
}

const syncLooks: Record<SyncState | 'none', StateKind> = {
  failed: 'bad',
  parked: 'warn',
  waiting: 'warn',
  sent: 'ok',
  kept: 'idle',
  none: 'idle',
}

/** How far the files of an agent's session are on their way. */
export function Whereabouts({ s, c }: { s: Session; c: RowContext }) {
  const state = c.syncOf(s.id)
  if (state === undefined) return <State kind="unknown" label={c.t('sync.unknown')} />
  const open = state === 'sent' && isRunning(s) ? 'waiting' : state
  return <State kind={syncLooks[open]} label={c.t(`sync.${open}`)} />
}

function stateOf(s: Session, t: Translate) {
  const lacking = s.segments_here !== undefined && s.segments_here < s.segments
  return (
    <>
      <StatusOf status={s.status} t={t} />
      {lacking && (
        <Text size="xs" c="dimmed">
          {t('here', { here: s.segments_here, all: s.segments })}
        </Text>
      )}
    </>
  )
}

function pick(c: RowContext): Column<Session> {
  return {
    id: 'pick',
    title: c.t('compare.short'),
    width: '96px',
    render: (s) => (
      <span onClick={(e) => e.stopPropagation()}>
        <Checkbox
          size="sm"
          checked={c.chosen.includes(s.id)}
          onChange={() => c.onChoose(s.id)}
          aria-label={c.t('compare.pick', { name: s.name })}
        />
      </span>
    ),
  }
}

function nameOf(s: Session) {
  return (
    <>
      <Text size="sm" fw={600} truncate title={s.name}>
        {s.name}
      </Text>
      <About s={s} />
    </>
  )
}

function figures(c: RowContext): Column<Session>[] {
  return [
    {
      id: 'started',
      title: c.t('started'),
      width: '236px',
      sortable: true,
      render: (s) => <DateTime ns={s.started_ns} />,
    },
    {
      id: 'duration',
      title: c.t('duration'),
      width: '100px',
      align: 'right',
      sortable: true,
      render: (s) => <Duration seconds={durationOf(s, isRunning(s) ? c.nowMs : undefined)} />,
    },
    {
      id: 'bytes',
      title: c.t('size'),
      width: '92px',
      align: 'right',
      sortable: true,
      render: (s) => <Bytes value={s.bytes} />,
    },
    {
      id: 'messages',
      title: c.t('messages'),
      width: '110px',
      align: 'right',
      sortable: true,
      render: (s) => <Num value={s.messages} />,
    },
    {
      id: 'lost',
      title: c.t(kind() === 'server' ? 'missing' : 'lost'),
      width: kind() === 'server' ? '150px' : '90px',
      align: 'right',
      sortable: true,
      render: (s) => <LostBadge lost={s.lost} />,
    },
  ]
}

/** Columns of the list; only a server sorts. */
export function wideColumns(c: RowContext): Column<Session>[] {
  const where: Column<Session> = {
    id: 'where',
    title: c.t('where'),
    width: '140px',
    render: (s) => <Whereabouts s={s} c={c} />,
  }
  return [
    pick(c),
    {
      id: 'name',
      title: c.t('name'),
      width: 'minmax(130px, 2fr)',
      sortable: true,
      render: nameOf,
    },
    { id: 'status', title: c.t('state'), width: '130px', render: (s) => stateOf(s, c.t) },
    ...figures(c),
    ...(kind() === 'agent' ? [where] : []),
  ]
}

/** For a phone: what matters, in two lines. */
export function narrowColumns(c: RowContext): Column<Session>[] {
  return [
    {
      id: 'name',
      title: c.t('name'),
      width: 'minmax(0, 1fr)',
      render: (s) => (
        <>
          <Text size="sm" fw={600} truncate title={s.name}>
            {s.name}
          </Text>
          <Text size="xs" c="dimmed" component="div" truncate>
            <DateTime ns={s.started_ns} />
          </Text>
        </>
      ),
    },
    {
      id: 'status',
      title: c.t('state'),
      width: '128px',
      align: 'right',
      render: (s) => (
        <>
          <StatusOf status={s.status} t={c.t} />
          <Text size="xs" component="div">
            <Bytes value={s.bytes} />
          </Text>
        </>
      ),
    },
  ]
}
