export type Format = 'mcap' | 'json' | 'csv'

export interface SliceOf {
  /** seconds after the beginning */
  from: number
  to: number
  topics: readonly string[]
  format: Format
}

/** The query of a part of a recording; without bounds where the whole length is wanted. */
export function sliceQuery(s: SliceOf, beganNs: bigint, seconds: number): string {
  const p = new URLSearchParams({ format: s.format })
  if (s.topics.length > 0) p.set('topics', s.topics.join(','))
  if (s.from > 0) p.set('from', String(beganNs + nsOf(s.from)))
  if (s.to < seconds) p.set('to', String(beganNs + nsOf(s.to)))
  return `?${p.toString()}`
}

function nsOf(seconds: number): bigint {
  return BigInt(Math.round(seconds * 1000)) * 1_000_000n
}
