import { useQuery } from '@tanstack/react-query'

import { ns } from '../../shared/time'
import type { Segment, Session } from './model'
import { segmentsQuery } from './queries'

export function replayPath(session: Session): string {
  return `/replay/${encodeURIComponent(session.id)}`
}

/** A replay begins with the first message, which may be later than the session. */
export function replayBegin(session: Session, segments: readonly Segment[]): bigint | undefined {
  let least: bigint | undefined
  for (const s of segments) {
    const first = ns(s.first_ns)
    if (first !== undefined && first > 0n && (least === undefined || first < least)) least = first
  }
  return least ?? ns(session.started_ns)
}

/** Seconds of a replay that begins at `begin`, as its link has them; to the millisecond. */
export function replaySeconds(at: bigint, begin: bigint): number {
  return at > begin ? Number((at - begin) / 1_000_000n) / 1000 : 0
}

/** Makes what a link to a moment of a replay says. */
export function useReplaySearch(session: Session): (at: bigint) => never {
  const { data } = useQuery(segmentsQuery(session.id))
  const begin = replayBegin(session, data?.segments ?? [])
  // Routes come from a table, so that the router knows no types of what they take.
  return (at) => (begin === undefined ? {} : { t: replaySeconds(at, begin) }) as never
}
