import type { AgentSchemas, ServerSchemas } from '../../shared/api/query'
import { ns } from '../../shared/time'
import type { IconName, StateKind } from '../../shared/ui'

export type AgentSession = AgentSchemas['Session']
export type ServerSession = ServerSchemas['ArchiveSession']
export type Mark = AgentSchemas['Mark']
export type Status = AgentSession['status'] | ServerSession['status']

/** A session as both APIs tell it; what only one of them knows may be missing. */
export interface Session {
  id: string
  name: string
  status: Status
  mission: string
  operator: string
  notes: string
  tags: string[]
  started_ns: string | null
  ended_ns: string | null
  messages: number
  bytes: number
  /** of a server: with what was left out as asked */
  lost: number
  segments: number
  error?: string | null
  /** with one session; lists of the agent do not tell it */
  keep?: boolean
  marks?: Mark[] | number | unknown
  // agent
  dir?: string
  class?: string
  outages?: number
  topics?: number
  request?: Record<string, unknown>
  uploaded_ns?: string | null
  durable_until_ns?: string | null
  disk_full?: boolean
  // server
  device?: string
  robots?: string[]
  segments_here?: number
  received_ns?: string | null
  signed?: ServerSession['signed']
  manifest?: boolean
  deleted_why?: string
}

export interface SessionTopic {
  topic: string
  type: string
  robot: string
  domain?: number
  messages: number
  bytes?: number
  /** by cause from the agent, a sum from the server */
  lost: number | Record<string, number>
}

export interface Segment {
  name: string
  kind?: string
  bytes: number
  complete: boolean
  sha256?: string | null
  messages?: number
  first_ns?: string | null
  last_ns?: string | null
  state?: 'expected' | 'received' | 'verified' | 'damaged'
  error?: string | null
}

export interface OverviewTopic {
  topic: string
  type: string
  robot: string
  messages: number
  bytes: number
  at: number
  messages_per_bin: number[]
}

export interface TimedLoss {
  topic: string
  lost: number
  from_ns: string
  to_ns: string
}

export interface Overview {
  from_ns: string
  bin_s: number
  bins: number
  topics: OverviewTopic[]
  losses: TimedLoss[]
  marks: Mark[]
  segments: number
  without: number
}

const looks: Record<Status, { kind: StateKind; icon?: IconName }> = {
  recording: { kind: 'ok', icon: 'record' },
  paused: { kind: 'warn', icon: 'pause' },
  receiving: { kind: 'warn', icon: 'sync' },
  finished: { kind: 'ok' },
  failed: { kind: 'bad' },
  deleted: { kind: 'idle', icon: 'trash' },
}

export function lookOf(status: Status): { kind: StateKind; icon?: IconName } {
  return looks[status] ?? { kind: 'unknown' }
}

export function isRunning(s: Session): boolean {
  return s.status === 'recording' || s.status === 'paused'
}

/** From the first to the last message, in seconds; of one that runs as far as its begin tells. */
export function durationOf(s: Session, nowMs?: number): number | undefined {
  const from = ns(s.started_ns)
  const to = ns(s.ended_ns) ?? (nowMs === undefined ? undefined : BigInt(nowMs) * 1_000_000n)
  if (from === undefined || to === undefined || to < from) return undefined
  return Number(to - from) / 1e9
}

export function marksOf(s: Session): Mark[] {
  return Array.isArray(s.marks) ? (s.marks as Mark[]) : []
}

export function lostOf(t: SessionTopic): number {
  return typeof t.lost === 'number' ? t.lost : realLoss(t.lost)
}

/** Causes that were asked for or carry no message are no loss (docs/formats/ledger.md). */
const NO_LOSS = new Set(['rate', 'paused', 'control'])

export function isLoss(cause: string): boolean {
  return !NO_LOSS.has(cause)
}

export function realLoss(byCause: Record<string, number>): number {
  return Object.entries(byCause).reduce((n, [cause, k]) => n + (isLoss(cause) ? k : 0), 0)
}

/** Largest first in the way names with numbers are read: segment_2 before segment_10. */
export function byName(a: { name: string }, b: { name: string }): number {
  return a.name.localeCompare(b.name, 'en', { numeric: true })
}
