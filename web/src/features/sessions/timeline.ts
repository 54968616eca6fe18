import type { OverviewTopic, Segment, TimedLoss } from './model'

/** One strip of the timeline: how much came when. */
export interface Strip {
  topic: string
  /** 0 to 1 of `mostPerS`; -1: nothing came */
  values: Float32Array
  bad: Set<number>
  mostPerS: number
  messages: number
}

export interface Frame {
  from: bigint
  to: bigint
}

export const MOST_COLUMNS = 500

/** How many bins are one column, so that there are at most `most`. */
export function binsPerColumn(bins: number, most = MOST_COLUMNS): number {
  return Math.max(1, Math.ceil(bins / most))
}

function normalise(sums: Float64Array): { values: Float32Array; most: number } {
  let most = 0
  for (const n of sums) if (n > most) most = n
  const values = new Float32Array(sums.length)
  for (let i = 0; i < sums.length; i++) {
    const n = sums[i] ?? 0
    values[i] = n === 0 || most === 0 ? -1 : n / most
  }
  return { values, most }
}

/** Where a time is in the frame: 0 to 1, bounded. */
export function placeOf(at: bigint, { from, to }: Frame): number {
  if (to <= from) return 0
  return Math.min(1, Math.max(0, Number(at - from) / Number(to - from)))
}

/** Columns that a loss may lie in. */
export function lossyColumns(
  losses: readonly TimedLoss[],
  topic: string,
  frame: Frame,
  columns: number,
): Set<number> {
  const out = new Set<number>()
  for (const l of losses) {
    if (l.topic !== topic) continue
    const a = Math.floor(placeOf(BigInt(l.from_ns), frame) * columns)
    const b = Math.floor(placeOf(BigInt(l.to_ns), frame) * columns)
    for (let i = a; i <= Math.min(b, columns - 1); i++) out.add(i)
  }
  return out
}

/** The strip of a topic from its counts by bin. */
export function stripOf(
  t: OverviewTopic,
  bins: number,
  binS: number,
  losses: readonly TimedLoss[],
  frame: Frame,
): Strip {
  const per = binsPerColumn(bins)
  const sums = new Float64Array(Math.ceil(bins / per))
  t.messages_per_bin.forEach((n, i) => {
    const column = Math.floor((t.at + i) / per)
    if (column < sums.length) sums[column] = (sums[column] ?? 0) + n
  })
  const { values, most } = normalise(sums)
  const bad = lossyColumns(losses, t.topic, frame, sums.length)
  // A lossy column without any message is drawn, too.
  bad.forEach((i) => (values[i] = Math.max(values[i] ?? 0, 0.35)))
  return { topic: t.topic, values, bad, mostPerS: most / (per * binS), messages: t.messages }
}

/** All topics as one strip, from what is known of each segment. */
export function stripOfSegments(
  segments: readonly Segment[],
  frame: Frame,
  columns = MOST_COLUMNS,
): Strip {
  const sums = new Float64Array(columns)
  const columnNs = Number(frame.to - frame.from) / columns
  let messages = 0
  for (const s of segments) {
    if (!s.first_ns || !s.last_ns || !s.messages) continue
    messages += s.messages
    const a = placeOf(BigInt(s.first_ns), frame) * columns
    const b = Math.max(placeOf(BigInt(s.last_ns), frame) * columns, a + 0.01)
    for (let i = Math.floor(a); i < Math.min(b, columns); i++) {
      const part = Math.max(0, Math.min(b, i + 1) - Math.max(a, i))
      sums[i] = (sums[i] ?? 0) + (s.messages * part) / (b - a)
    }
  }
  const { values, most } = normalise(sums)
  const mostPerS = columnNs > 0 ? most / (columnNs / 1e9) : 0
  return { topic: '', values, bad: new Set(), mostPerS, messages }
}
