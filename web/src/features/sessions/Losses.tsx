import { Button, List, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'

import { useT } from '../../i18n'
import { kind } from '../../shared/api/client'
import { ns, useTimeFormat } from '../../shared/time'
import { Empty, ErrorState, formatNumber, Icon, Loading, notify, Num } from '../../shared/ui'
import { linesOfChannels, linesOfLedger, parseSpans, timeOf, type LossLine } from './ledger'
import type { Session, TimedLoss } from './model'
import { ledgerQuery, manifestQuery, overviewQuery } from './queries'
import { lastBeforeOf, whenLost } from './when'

const MOST_LINES = 200
const MOST_TIMES = 5

/** The ledger in words: what became of messages that are not in the recording. */
export function Losses({ session }: { session: Session }) {
  return kind() === 'server' ? <OfServer session={session} /> : <OfAgent session={session} />
}

function OfAgent({ session }: { session: Session }) {
  const t = useT('sessions')
  const { data, error, refetch } = useQuery(ledgerQuery(session.id))
  if (error) return <ErrorState error={error} retry={() => void refetch()} />
  if (!data) return <Loading />
  return (
    <Stack gap="sm">
      <Text size="sm">
        {t('ledger.received')} <Num value={data.received} /> · {t('ledger.late')}{' '}
        <Num value={data.late} />
        {data.folded && data.folded.lost > 0 && ` · ${t('ledger.folded', data.folded)}`}
      </Text>
      <Lines lines={linesOfLedger(data)} session={session} losses={[]} />
      <Text size="sm" c="dimmed">
        {t('ledger.note')}
      </Text>
    </Stack>
  )
}

function OfServer({ session }: { session: Session }) {
  const t = useT('sessions')
  const there = session.manifest === true
  const manifest = useQuery(manifestQuery(session.id, there))
  const overview = useQuery(overviewQuery(session.id))
  if (!there) return <Empty icon="unknown" title={t('ledger.noManifest')} />
  const error = manifest.error
  if (error) return <ErrorState error={error} retry={() => void manifest.refetch()} />
  if (!manifest.data || overview.isPending) return <Loading />
  return (
    <Stack gap="sm">
      <Lines
        lines={linesOfChannels(manifest.data.channels ?? [])}
        session={session}
        losses={overview.data?.losses ?? []}
      />
      <Text size="sm" c="dimmed">
        {t('ledger.onRobot')}
      </Text>
    </Stack>
  )
}

interface LinesProps {
  lines: readonly LossLine[]
  session: Session
  losses: readonly TimedLoss[]
}

function Lines({ lines, session, losses }: LinesProps) {
  const t = useT('sessions')
  if (lines.length === 0) {
    return <Empty icon="ok" title={t('ledger.whole')} hint={t('ledger.wholeHint')} />
  }
  return (
    <>
      {!lines.some((l) => l.loss) && <Text fw={600}>{t('ledger.onlyAsked')}</Text>}
      <List spacing="xs" listStyleType="none" size="sm">
        {lines.slice(0, MOST_LINES).map((l) => (
          <List.Item
            key={`${l.topic} ${l.cause}`}
            icon={<Icon name={l.loss ? 'warn' : 'idle'} label={t(l.loss ? 'lost' : 'leftOut')} />}
          >
            <Sentence line={l} session={session} losses={losses} />
          </List.Item>
        ))}
      </List>
      {lines.length > MOST_LINES && (
        <Text size="sm">{t('ledger.more', { count: lines.length - MOST_LINES })}</Text>
      )}
    </>
  )
}

interface SentenceProps {
  line: LossLine
  session: Session
  losses: readonly TimedLoss[]
}

function Sentence({ line: l, session, losses }: SentenceProps) {
  const t = useT('sessions')
  const format = useTimeFormat()
  const time = l.loss ? timeOf(losses, l.topic) : undefined
  const text = t('ledger.line', {
    topic: l.topic,
    count: formatNumber(l.count),
    of: l.of === undefined ? '–' : formatNumber(l.of),
    what: t(`cause.${l.cause}`),
  })
  const when =
    time &&
    t('ledger.between', {
      from: format(time[0], { date: false, digits: 1, showZone: false }),
      to: format(time[1], { date: false, digits: 1 }),
    })
  return (
    <span className="bp-break">
      {text}
      {when && ` ${when}`}
      {l.numbers.length > 0 && (
        <Text component="span" size="xs" c="dimmed">
          {' '}
          {t('ledger.numbers', { numbers: l.numbers.join(' | ').slice(0, 200) })}{' '}
          <When line={l} session={session} />
        </Text>
      )}
    </span>
  )
}

/** Looks up in the recording when something went missing; one writer, so that numbers have an order. */
function When({ line, session }: { line: LossLine; session: Session }) {
  const t = useT('sessions')
  const format = useTimeFormat()
  const [busy, setBusy] = useState(false)
  const [times, setTimes] = useState<(bigint | undefined)[] | undefined>()
  const stop = useRef<AbortController>(undefined)
  useEffect(() => () => stop.current?.abort(), [])
  const from = ns(session.started_ns)
  const to = ns(session.ended_ns)
  const spans = parseSpans(line.numbers[0] ?? '')
  if (line.writers !== 1 || from === undefined || to === undefined) return null
  const look = async () => {
    const control = (stop.current = new AbortController())
    setBusy(true)
    try {
      const lastBefore = lastBeforeOf(session.id, line.topic, control.signal)
      const found: (bigint | undefined)[] = []
      for (const span of spans.slice(0, MOST_TIMES)) {
        found.push(await whenLost(span.first, from, to, lastBefore))
      }
      setTimes(found)
    } catch (error) {
      if (!control.signal.aborted) notify.bad(error)
    } finally {
      setBusy(false)
    }
  }
  if (times) {
    const one = (x: bigint | undefined) =>
      x === undefined ? t('ledger.before') : format(x, { date: false, digits: 3 })
    const more = spans.length - times.length
    const words = [...new Set(times.map(one))].join(', ')
    return (
      <strong>
        {t('ledger.after', { times: words })}
        {more > 0 && ` ${t('ledger.moreTimes', { count: more })}`}
      </strong>
    )
  }
  return (
    <Button size="compact-xs" variant="default" loading={busy} onClick={() => void look()}>
      {t('ledger.when')}
    </Button>
  )
}
