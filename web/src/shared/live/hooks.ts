import { useEffect, useState, useSyncExternalStore } from 'react'

import { getConnection, serverNow, subscribe, watchConnection } from './live'
import type { Connection } from './protocol'

export interface TopicState<T> {
  data: T | undefined
  /** server's clock, ms; 0: nothing has come */
  at: number
  stale: boolean
  /** why the topic is refused */
  why?: string
}

export interface TopicOptions {
  maxHz?: number
  enabled?: boolean
  /** ms after which what came last counts as old */
  staleMs?: number
}

const STALE_MS = 5_000

export function useConnection(): Connection {
  return useSyncExternalStore(watchConnection, getConnection)
}

/** The newest event of a topic; the component renders once for each, at most once a frame. */
export function useTopic<T>(topic: string, opts: TopicOptions = {}): TopicState<T> {
  const { maxHz, enabled = true, staleMs = STALE_MS } = opts
  const [got, setGot] = useState<{ topic: string; data?: T; at: number; why?: string }>({
    topic,
    at: 0,
  })
  const connection = useConnection()
  const now = useServerTime(1000, enabled)

  useEffect(() => {
    if (!enabled) return
    return subscribe(
      topic,
      {
        event: (data, meta) => setGot({ topic, data: data as T, at: meta.timeMs }),
        refused: (why) => setGot({ topic, at: 0, why }),
      },
      maxHz === undefined ? {} : { maxHz },
    )
  }, [topic, maxHz, enabled])

  const mine = got.topic === topic
  const at = mine ? got.at : 0
  return {
    data: mine ? got.data : undefined,
    at,
    stale: at > 0 && (connection.state !== 'open' || now - at > staleMs),
    ...(mine && got.why !== undefined ? { why: got.why } : {}),
  }
}

const ticks = new Map<number, { listeners: Set<() => void>; timer: number }>()

function watchTick(everyMs: number, listener: () => void): () => void {
  let t = ticks.get(everyMs)
  if (!t) {
    const listeners = new Set<() => void>()
    t = { listeners, timer: window.setInterval(() => listeners.forEach((l) => l()), everyMs) }
    ticks.set(everyMs, t)
  }
  t.listeners.add(listener)
  const mine = t
  return () => {
    mine.listeners.delete(listener)
    if (mine.listeners.size > 0) return
    window.clearInterval(mine.timer)
    ticks.delete(everyMs)
  }
}

/** serverNow() in steps of `everyMs`; all who ask for the same step share a timer. */
export function useServerTime(everyMs = 1000, enabled = true): number {
  return useSyncExternalStore(
    (listener) => (enabled ? watchTick(everyMs, listener) : () => undefined),
    () => Math.floor(serverNow() / everyMs) * everyMs,
  )
}
