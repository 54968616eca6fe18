import type { AgentSchemas } from '../../shared/api/query'
import { isLoss, type TimedLoss } from './model'

/** What became of messages of one topic by one cause. */
export interface LossLine {
  topic: string
  cause: string
  count: number
  /** messages that came and those that did not; undefined: not known */
  of: number | undefined
  /** the sequence numbers, where the ledger tells them: '33-37, 40' */
  numbers: string[]
  writers: number
  loss: boolean
}

type Ledger = AgentSchemas['Ledger']
type Source = Ledger['sources'][number]

export interface Channel {
  topic: string
  received: number
  lost: Record<string, number>
}

const order = ['transport', 'ring', 'budget', 'disk', 'bad', 'degraded', 'paused', 'rate']

function rank(cause: string): number {
  const at = order.indexOf(cause)
  return at < 0 ? order.length : at
}

/** Losses first, then what was left out as asked; the largest first. */
function sorted(lines: LossLine[]): LossLine[] {
  return lines.sort(
    (a, b) =>
      Number(b.loss) - Number(a.loss) ||
      b.count - a.count ||
      rank(a.cause) - rank(b.cause) ||
      a.topic.localeCompare(b.topic),
  )
}

function sent(lost: Record<string, number>, received: number): number {
  // Numbers of the cause control carry no message.
  return Object.entries(lost).reduce((n, [c, k]) => n + (c === 'control' ? 0 : k), received)
}

/** Lines from the ledger of the agent: writers of a topic are summed up. */
export function linesOfLedger(ledger: Ledger): LossLine[] {
  const byTopic = new Map<string, Source[]>()
  for (const s of ledger.sources) byTopic.set(s.topic, [...(byTopic.get(s.topic) ?? []), s])
  const lines: LossLine[] = []
  for (const [topic, sources] of byTopic) {
    const of = sources.reduce((n, s) => n + sent(s.lost_by_cause, s.received), 0)
    const causes = new Set(sources.flatMap((s) => Object.keys(s.lost_by_cause)))
    for (const cause of causes) {
      const hit = sources.filter((s) => (s.lost_by_cause[cause] ?? 0) > 0)
      if (hit.length === 0 || cause === 'control') continue
      lines.push({
        topic,
        cause,
        count: hit.reduce((n, s) => n + (s.lost_by_cause[cause] ?? 0), 0),
        of,
        numbers: hit.map((s) => s.spans?.lost[cause]).filter((x): x is string => Boolean(x)),
        writers: sources.length,
        loss: isLoss(cause),
      })
    }
  }
  return sorted(lines)
}

/** Lines from the sums of a manifest, which a server has as well. */
export function linesOfChannels(channels: readonly Channel[]): LossLine[] {
  const lines = channels.flatMap((c) =>
    Object.entries(c.lost)
      .filter(([cause, n]) => n > 0 && cause !== 'control')
      .map(([cause, count]) => ({
        topic: c.topic,
        cause,
        count,
        of: sent(c.lost, c.received),
        numbers: [],
        writers: 0,
        loss: isLoss(cause),
      })),
  )
  return sorted(lines)
}

export interface Span {
  first: number
  last: number
}

const MOST_SPANS = 10_000

/** '33-37,40' as pairs; what is no number is left out. */
export function parseSpans(text: string): Span[] {
  const out: Span[] = []
  for (const part of text.split(',', MOST_SPANS)) {
    const [, a, b] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? []
    if (a === undefined) continue
    out.push({ first: Number(a), last: Number(b ?? a) })
  }
  return out
}

/** The time that all segments with a loss of the topic lie in; the server tells it by segment. */
export function timeOf(losses: readonly TimedLoss[], topic: string): [bigint, bigint] | undefined {
  const mine = losses.filter((l) => l.topic === topic)
  if (mine.length === 0) return undefined
  const from = mine.map((l) => BigInt(l.from_ns)).reduce((a, b) => (b < a ? b : a))
  const to = mine.map((l) => BigInt(l.to_ns)).reduce((a, b) => (b > a ? b : a))
  return [from, to]
}
