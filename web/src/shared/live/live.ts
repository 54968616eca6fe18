import { eventsUrl } from '../api/base'
import type { Connection, Frame, FromWorker, Policy, ToWorker, Wish } from './protocol'

export interface Meta {
  seq: number
  /** server's clock, ms */
  timeMs: number
}

export interface Handlers {
  event: (data: unknown, meta: Meta) => void
  frame?: (frame: Frame) => void
  dropped?: (count: number) => void
  refused?: (why: string) => void
}

export interface SubscribeOptions {
  policy?: Policy
  credit?: number
  maxHz?: number
}

interface Entry {
  wish: Wish
  handlers: Set<Handlers>
  /** the last event, told at once to who comes later */
  last: { data: unknown; meta: Meta } | undefined
  closing: ReturnType<typeof setTimeout> | undefined
}

/** A page that is left and another that wants the same topic: no need to ask anew. */
const LINGER_MS = 2_000

let worker: Worker | undefined
const entries = new Map<string, Entry>()
const watchers = new Set<() => void>()
const restarts = new Set<() => void>()
let connection: Connection = { state: 'connecting', since: Date.now() }
let offsetMs = 0
let bootId = ''

function post(message: ToWorker): void {
  worker?.postMessage(message)
}

/** Opens the connection; once, when the app starts. */
export function startLive(): void {
  if (worker) return
  worker = new Worker(new URL('../../workers/events.worker.ts', import.meta.url), {
    type: 'module',
    name: 'events',
  })
  worker.onmessage = (e: MessageEvent<FromWorker>) => take(e.data)
  post({ do: 'open', url: eventsUrl() })
  for (const { wish } of entries.values()) post({ do: 'subscribe', wish })
  window.addEventListener('online', retryLive)
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') retryLive()
  })
}

export function retryLive(): void {
  post({ do: 'retry' })
}

function take(m: FromWorker): void {
  switch (m.is) {
    case 'connection':
      connection = m.connection
      offsetMs = m.clockOffsetMs
      bootId = m.boot
      watchers.forEach((w) => w())
      return
    case 'restarted':
      restarts.forEach((r) => r())
      return
    case 'event':
      return takeEvent(m.topic, m.data, { seq: m.seq, timeMs: m.timeMs })
    case 'frame':
      entries.get(m.topic)?.handlers.forEach((h) => h.frame?.(m.frame))
      return
    case 'dropped':
    case 'gap':
      entries.get(m.topic)?.handlers.forEach((h) => h.dropped?.(m.count))
      return
    case 'refused':
      entries.get(m.topic)?.handlers.forEach((h) => h.refused?.(m.why))
  }
}

function takeEvent(topic: string, data: unknown, meta: Meta): void {
  const entry = entries.get(topic)
  if (!entry) return
  entry.last = { data, meta }
  entry.handlers.forEach((h) => h.event(data, meta))
}

function same(a: Wish, b: Wish): boolean {
  return a.policy === b.policy && a.maxHz === b.maxHz
}

/** What several want together: the fastest of them, bounded when one wants all. */
function merge(a: Wish, b: Wish): Wish {
  const maxHz =
    a.maxHz === undefined || b.maxHz === undefined ? undefined : Math.max(a.maxHz, b.maxHz)
  const policy = a.policy === 'bounded' || b.policy === 'bounded' ? 'bounded' : 'latest'
  return { topic: a.topic, policy, credit: Math.max(a.credit, b.credit), maxHz }
}

/** Listens to a topic of the events; several may listen to the same. Returns how to stop. */
export function subscribe(
  topic: string,
  handlers: Handlers,
  opts: SubscribeOptions = {},
): () => void {
  const wish: Wish = {
    topic,
    policy: opts.policy ?? 'bounded',
    credit: opts.credit ?? 0,
    maxHz: opts.maxHz,
  }
  const entry = enter(topic, wish)
  entry.handlers.add(handlers)
  if (entry.last) handlers.event(entry.last.data, entry.last.meta)
  return () => leave(topic, entry, handlers)
}

function enter(topic: string, wish: Wish): Entry {
  const old = entries.get(topic)
  if (!old) {
    const entry: Entry = { wish, handlers: new Set(), last: undefined, closing: undefined }
    entries.set(topic, entry)
    post({ do: 'subscribe', wish })
    return entry
  }
  clearTimeout(old.closing)
  old.closing = undefined
  const both = old.handlers.size > 0 ? merge(old.wish, wish) : wish
  if (!same(both, old.wish)) post({ do: 'subscribe', wish: both })
  old.wish = both
  return old
}

function leave(topic: string, entry: Entry, handlers: Handlers): void {
  entry.handlers.delete(handlers)
  if (entry.handlers.size > 0 || entry.closing) return
  entry.closing = setTimeout(() => {
    if (entry.handlers.size > 0 || entries.get(topic) !== entry) return
    entries.delete(topic)
    post({ do: 'unsubscribe', topic })
  }, LINGER_MS)
}

export interface StreamOptions {
  maxHz?: number
  /** called with the reason when a frame cannot be made or the topic is refused */
  onWhy?: (why: string) => void
}

/**
 * Frames of `image:…` or `points:…`. The next one is asked for when the promise of `onFrame` has
 * ended: however slow the page is, what comes is the newest there is.
 */
export function stream(
  topic: string,
  onFrame: (frame: Frame) => void | Promise<void>,
  opts: StreamOptions = {},
): () => void {
  let over = false
  const done = () => {
    if (!over) post({ do: 'credit', topic, n: 1 })
  }
  const why = (text: string) => opts.onWhy?.(text)
  const stop = subscribe(
    topic,
    {
      event: (data) => {
        const text = (data as { why?: unknown } | null)?.why
        if (typeof text === 'string') why(text)
        done()
      },
      frame: (frame) => void Promise.resolve(onFrame(frame)).then(done, done),
      refused: why,
    },
    {
      policy: 'latest',
      credit: 1,
      ...(opts.maxHz === undefined ? {} : { maxHz: opts.maxHz }),
    },
  )
  return () => {
    over = true
    stop()
  }
}

/** ms since 1970 by the server's clock. */
export function serverNow(): number {
  return Date.now() + offsetMs
}

/** The life of the agent or server we are connected to; '' before the first hello. */
export function boot(): string {
  return bootId
}

export function getConnection(): Connection {
  return connection
}

export function watchConnection(watcher: () => void): () => void {
  watchers.add(watcher)
  return () => watchers.delete(watcher)
}

/** Calls `listener` when the agent has begun a new life: what was asked before may be old. */
export function onRestart(listener: () => void): () => void {
  restarts.add(listener)
  return () => restarts.delete(listener)
}

/** Prefix of topics of a robot's device seen through a server; '' for the agent itself. */
export function eventsTarget(device?: string): string {
  return device ? `device:${device}/` : ''
}
