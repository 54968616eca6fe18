import { Group, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useMemo, type MouseEvent } from 'react'

import { useT } from '../../i18n'
import { kind } from '../../shared/api/client'
import { ns } from '../../shared/time'
import { useServerTime } from '../../shared/live'
import {
  type Column,
  DateTime,
  Empty,
  ErrorState,
  figures,
  Heat,
  Icon,
  Loading,
  VirtualTable,
} from '../../shared/ui'
import { isRunning, marksOf, type Mark, type Session } from './model'
import { overviewQuery, segmentsQuery } from './queries'
import { placeOf, stripOf, stripOfSegments, type Frame, type Strip } from './timeline'
import css from './sessions.module.css'

const ROW_PX = 34

/** When how much of each topic came, with gaps, losses and marks. */
export function Timeline({ session }: { session: Session }) {
  return kind() === 'server' ? <ByTopic session={session} /> : <BySegment session={session} />
}

function ByTopic({ session }: { session: Session }) {
  const t = useT('sessions')
  const { data, error, refetch } = useQuery(overviewQuery(session.id))
  const made = useMemo(() => {
    if (!data) return undefined
    const from = BigInt(data.from_ns)
    const frame = { from, to: from + BigInt(data.bins) * BigInt(data.bin_s) * 1_000_000_000n }
    const strips = data.topics
      .map((one) => stripOf(one, data.bins, data.bin_s, data.losses, frame))
      .sort((a, b) => a.topic.localeCompare(b.topic))
    return { frame, strips }
  }, [data])
  if (error) return <ErrorState error={error} retry={() => void refetch()} />
  if (data === undefined) return <Loading />
  if (data === null || made === undefined) {
    return <Empty icon="sessions" title={t('timeline.none')} hint={t('timeline.noneServer')} />
  }
  return (
    <Stack gap="xs">
      <Strips {...made} session={session} marks={data.marks} />
      <Text size="sm" c="dimmed">
        {t('timeline.bins', { seconds: data.bin_s })} {t('timeline.press')}
        {data.losses.length > 0 && ` ${t('timeline.red')}`}
        {data.without > 0 && ` ${t('timeline.without', { count: data.without })}`}
      </Text>
    </Stack>
  )
}

function BySegment({ session }: { session: Session }) {
  const t = useT('sessions')
  const now = useServerTime(3000, isRunning(session))
  const { data, error, refetch } = useQuery(segmentsQuery(session.id))
  const from = ns(session.started_ns)
  const to = ns(session.ended_ns) ?? BigInt(Math.round(now)) * 1_000_000n
  const strip = useMemo(
    () => (data && from !== undefined ? stripOfSegments(data.segments, { from, to }) : undefined),
    [data, from, to],
  )
  if (error) return <ErrorState error={error} retry={() => void refetch()} />
  if (!data) return <Loading />
  if (from === undefined || strip === undefined || strip.messages === 0) {
    return <Empty icon="sessions" title={t('timeline.none')} hint={t('timeline.noneAgent')} />
  }
  return (
    <Stack gap="xs">
      <Strips frame={{ from, to }} strips={[strip]} session={session} marks={marksOf(session)} />
      <Text size="sm" c="dimmed">
        {t('timeline.bySegment')} {t('timeline.press')}
      </Text>
    </Stack>
  )
}

interface StripsProps {
  frame: Frame
  strips: Strip[]
  session: Session
  marks: readonly Mark[]
}

function Strips({ frame, strips, session, marks }: StripsProps) {
  const t = useT('sessions')
  const open = useReplayAt(session, frame)
  const columns: Column<Strip>[] = [
    {
      id: 'topic',
      title: t('topic'),
      width: 'minmax(110px, 1fr)',
      render: (s) => <span title={s.topic}>{s.topic || t('timeline.all')}</span>,
    },
    {
      id: 'strip',
      title: <MarkRow marks={marks} frame={frame} session={session} />,
      width: 'minmax(150px, 4fr)',
      render: (s) => (
        <button type="button" className={css.strip} onClick={open} title={t('timeline.replay')}>
          <Heat
            values={s.values}
            bad={s.bad}
            height={22}
            label={t(s.bad.size > 0 ? 'timeline.lossy' : 'timeline.label', {
              topic: s.topic || t('timeline.all'),
              messages: s.messages,
            })}
          />
        </button>
      ),
    },
    {
      id: 'most',
      title: t('timeline.most'),
      width: '84px',
      align: 'right',
      render: (s) => <span className="bp-num">{figures(s.mostPerS)}</span>,
    },
  ]
  return (
    <>
      <Group justify="space-between">
        <Text size="xs" c="dimmed" component="div">
          <DateTime ns={frame.from} digits={3} />
        </Text>
        <Text size="xs" c="dimmed" component="div">
          <DateTime ns={frame.to} digits={3} />
        </Text>
      </Group>
      <VirtualTable<Strip>
        label={t('tab.timeline')}
        columns={columns}
        rows={strips}
        rowKey={(s) => s.topic}
        rowHeight={ROW_PX}
        height={`min(60dvh, ${strips.length * ROW_PX + 44}px)`}
      />
    </>
  )
}

/** Seconds after the beginning, as a link to a replay has them. */
function offsetOf(at: bigint, session: Session): string {
  const after = at - (ns(session.started_ns) ?? at)
  return (Number(after > 0n ? after / 1_000_000n : 0n) / 1000).toFixed(3)
}

function useReplayAt(session: Session, frame: Frame) {
  const navigate = useNavigate()
  return (e: MouseEvent<HTMLButtonElement>) => {
    const box = e.currentTarget.getBoundingClientRect()
    // A key presses in the middle of nothing: then from the beginning.
    const part = e.detail === 0 ? 0 : (e.clientX - box.left) / Math.max(1, box.width)
    const length = Number(frame.to - frame.from)
    const at = frame.from + BigInt(Math.round(Math.min(1, Math.max(0, part)) * length))
    void navigate({
      to: `/replay/${encodeURIComponent(session.id)}`,
      search: { t: offsetOf(at, session) } as never,
    })
  }
}

function MarkRow({ marks, frame, session }: Omit<StripsProps, 'strips'>) {
  const t = useT('sessions')
  return (
    <div className={css.marks}>
      {marks.map((m, i) => {
        const at = ns(m.time_ns)
        if (at === undefined) return null
        return (
          <Link
            key={i}
            to={`/replay/${encodeURIComponent(session.id)}`}
            search={{ t: offsetOf(at, session) } as never}
            className={css.mark}
            style={{ left: `${placeOf(at, frame) * 100}%` }}
            title={m.text}
            aria-label={t('timeline.mark', { text: m.text })}
          >
            <Icon name="mark" size={14} />
          </Link>
        )
      })}
      {marks.length === 0 && (
        <Text size="xs" c="dimmed" component="span">
          {t('timeline.noMarks')}
        </Text>
      )}
    </div>
  )
}
