import { useQuery } from '@tanstack/react-query'

import { call, problem, request } from '../../shared/api/client'
import { apiUrl } from '../../shared/api/base'
import type { TopicInfo } from '../../shared/panels'
import { ns } from '../../shared/time'
import type { Range } from './player'
import type { Ask } from './reader'

/** What agent and server tell alike of a session, its topics and its segments. */
export interface SessionAnswer {
  name: string
  status: string
  started_ns: string | null
  ended_ns: string | null
  marks?: unknown
}

interface TopicAnswer {
  topic: string
  type: string
  robot: string
  messages: number
}

interface SegmentAnswer {
  first_ns?: string | null
  last_ns?: string | null
}

export interface RobotTopic extends TopicInfo {
  readonly robot: string
  readonly messages: number
}

export interface Mark {
  readonly at: bigint
  readonly text: string
}

export interface Recording {
  readonly id: string
  readonly name: string
  readonly status: string
  /** what can be played; undefined: nothing yet */
  readonly span: Range | undefined
  readonly marks: readonly Mark[]
  readonly topics: readonly RobotTopic[]
}

/** From the first message to behind the last; where segments do not tell, what the session says. */
export function spanOf(s: SessionAnswer, segments: readonly SegmentAnswer[]): Range | undefined {
  const firsts = segments.map((x) => ns(x.first_ns)).filter((x) => x !== undefined && x > 0n)
  const lasts = segments.map((x) => ns(x.last_ns)).filter((x) => x !== undefined && x > 0n)
  const from = least(firsts) ?? ns(s.started_ns)
  const last = lasts.reduce((a, b) => (a === undefined || (b ?? 0n) > a ? b : a), undefined)
  const to = last === undefined ? ns(s.ended_ns) : last + 1n
  return from !== undefined && to !== undefined && to > from ? { from, to } : undefined
}

function least(times: readonly (bigint | undefined)[]): bigint | undefined {
  return times.reduce((a, b) => (a === undefined || (b !== undefined && b < a) ? b : a), undefined)
}

/** Marks within the span, in order. */
export function marksOf(raw: unknown, span: Range | undefined): Mark[] {
  if (!Array.isArray(raw) || !span) return []
  const all = (raw as { time_ns?: unknown; text?: unknown }[]).flatMap((m) => {
    const at = typeof m.time_ns === 'string' ? ns(m.time_ns) : undefined
    const inside = at !== undefined && at >= span.from && at <= span.to
    return inside ? [{ at, text: typeof m.text === 'string' ? m.text : '' }] : []
  })
  return all.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
}

/** Each name once, with its mean rate. One name may be in several domains. */
export function topicsOf(rows: readonly TopicAnswer[], span: Range | undefined): RobotTopic[] {
  const seconds = span ? Number(span.to - span.from) / 1e9 : 0
  const byName = new Map<string, RobotTopic>()
  for (const r of rows) {
    const messages = r.messages + (byName.get(r.topic)?.messages ?? 0)
    byName.set(r.topic, {
      name: r.topic,
      type: r.type,
      robot: r.robot,
      messages,
      rateHz: seconds > 0 ? messages / seconds : undefined,
    })
  }
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function path(id: string, rest = ''): string {
  return `api/v1/sessions/${encodeURIComponent(id)}${rest}`
}

async function readRecording(id: string): Promise<Recording> {
  const [session, topics, segments] = await Promise.all([
    request<SessionAnswer>(path(id)),
    request<{ topics: TopicAnswer[] }>(path(id, '/topics')),
    request<{ segments: SegmentAnswer[] }>(path(id, '/segments')),
  ])
  const span = spanOf(session, segments.segments)
  return {
    id,
    name: session.name,
    status: session.status,
    span,
    marks: marksOf(session.marks, span),
    topics: topicsOf(topics.topics, span),
  }
}

export function useRecording(id: string) {
  return useQuery({ queryKey: ['session', id, 'replay'], queryFn: () => readRecording(id) })
}

/** Where a part of a session is downloaded. */
export function dataUrl(id: string, query: URLSearchParams): string {
  return new URL(`${path(id, '/data')}?${query.toString()}`, apiUrl()).href
}

/** How often and how soon (ms) it is asked again when all of the other end's places are taken. */
const AGAIN = 12
const AGAIN_MS = 250

export function askSession(id: string): Ask {
  return async (query, signal) => {
    for (let n = 0; ; n++) {
      const res = await call(dataUrl(id, new URLSearchParams(query)), { signal })
      if (res.ok) return res.arrayBuffer()
      if (res.status !== 503 || n >= AGAIN) throw problem(res.status, await body(res))
      await new Promise((done) => setTimeout(done, AGAIN_MS))
    }
  }
}

async function body(res: Response): Promise<unknown> {
  const raw = await res.text()
  try {
    return JSON.parse(raw)
  } catch {
    return raw
  }
}
