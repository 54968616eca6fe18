import { msToNs, ns } from '../../shared/time'

/** What GET /api/v1/storage answers. */
export interface Storage {
  dir: string
  size: number
  free: number
  sessions: { count: number; bytes: number }
  classes: ClassRow[]
  limits: Limits
  would_delete: { sessions: number; bytes: number }
  /** bytes that limits still ask for although all that is left is protected */
  over: number
  next: SessionRow[]
  /** within all limits, in the order in which they would go; an older agent does not tell */
  later?: SessionRow[]
  held: SessionRow[]
  deleted: { sessions: number; bytes: number; erased_bytes: number }
  note: string | null
}

export interface Limits {
  max_age_s: number | null
  max_size: number | null
  min_free: number | null
  keep_newest: number | null
  keep_marked: boolean
  delete_not_uploaded: boolean
}

export interface ClassRow {
  class: string
  sessions: number
  bytes: number
  uploaded: number
  max_age_s: number | null
  max_size: number | null
  keep_newest: number | null
  keep: boolean
}

export interface SessionRow {
  id: string
  name: string
  class: string
  bytes: number
  started_ns: string | null
  ended_ns: string | null
  uploaded_ns: string | null
  why: string
}

/** The reasons that the agent gives, by the key of their text here. */
const reasons: Record<string, string> = {
  'within all limits': 'within',
  'is being recorded': 'running',
  'kept by hand': 'kept',
  'has a mark': 'marked',
  'its class is kept': 'class',
  'one of the newest': 'newest',
  'not uploaded': 'notUploaded',
  'older than max_age': 'age',
  'its class is larger than its max_size': 'classSize',
  'all together is larger than max_size': 'size',
  'less than min_free is free': 'space',
}

/** Key of the text of a reason; undefined: one that we do not know, shown as it is. */
export function reasonKey(why: string): string | undefined {
  return reasons[why]
}

/** Whether anything is ever deleted by itself. */
export function hasLimits(storage: Storage): boolean {
  const { max_age_s, max_size, min_free } = storage.limits
  const some = (v: number | null) => v !== null
  return (
    [max_age_s, max_size, min_free].some(some) ||
    storage.classes.some((c) => some(c.max_age_s) || some(c.max_size))
  )
}

/** When a session is too old by the limits of its class or of all; undefined: never. */
export function goesAt(row: SessionRow, storage: Storage): bigint | undefined {
  const own = storage.classes.find((c) => c.class === row.class)?.max_age_s
  const age = own ?? storage.limits.max_age_s
  const since = ns(row.ended_ns) ?? ns(row.started_ns)
  if (age === null || since === undefined) return undefined
  return since + msToNs(age * 1000)
}

export interface Shares {
  recordings: number
  others: number
  free: number
}

/** Percent of the disk. Sizes of sessions may be newer than what the disk says. */
export function shares(size: number, free: number, recordings: number): Shares {
  if (size <= 0) return { recordings: 0, others: 0, free: 0 }
  const used = Math.max(0, size - free)
  const ours = Math.min(recordings, used)
  const percent = (bytes: number) => (bytes / size) * 100
  return { recordings: percent(ours), others: percent(used - ours), free: percent(free) }
}

const SPAN_MS = 60_000
const ENOUGH_MS = 3_000

/** How fast a counter of bytes has grown over the last minute. */
export class Pace {
  private seen: { at: number; bytes: number }[] = []

  /** A counter that falls (a session has ended) is a new beginning. */
  add(bytes: number, atMs: number): void {
    const last = this.seen.at(-1)
    if (last && atMs <= last.at) return
    if (last && bytes < last.bytes) this.seen = []
    this.seen.push({ at: atMs, bytes })
    while ((this.seen[0]?.at ?? atMs) < atMs - SPAN_MS) this.seen.shift()
  }

  /** Bytes a second; undefined before enough has been seen. */
  perSecond(): number | undefined {
    const first = this.seen[0]
    const last = this.seen.at(-1)
    if (!first || !last || last.at - first.at < ENOUGH_MS) return undefined
    return ((last.bytes - first.bytes) / (last.at - first.at)) * 1000
  }
}

/** Seconds until `free` is used up; undefined when nothing is written. */
export function untilFull(free: number, perSecond: number | undefined): number | undefined {
  return perSecond !== undefined && perSecond > 1 ? free / perSecond : undefined
}
