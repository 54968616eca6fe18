import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react'

import type { PanelMessage, PanelSource, SourceState, TopicInfo } from './source'

export function useTopics(source: PanelSource): readonly TopicInfo[] {
  const watch = useCallback((changed: () => void) => source.onChange(changed), [source])
  return useSyncExternalStore(watch, () => source.topics())
}

export function useSourceState(source: PanelSource): SourceState {
  const watch = useCallback((changed: () => void) => source.onChange(changed), [source])
  return useSyncExternalStore(watch, () => source.state())
}

/** The newest message of a topic; renders at most once an animation frame. */
export function useLatest(
  source: PanelSource,
  topic: string,
  maxHz = 10,
): PanelMessage | undefined {
  const [shown, setShown] = useState<PanelMessage | undefined>()
  useEffect(() => {
    setShown(undefined)
    if (topic === '') return
    let queued = 0
    let newest: PanelMessage | undefined
    const flush = () => {
      queued = 0
      setShown(newest)
    }
    const take = (m: PanelMessage | undefined) => {
      newest = m
      if (queued === 0) queued = requestAnimationFrame(flush)
    }
    const stop = source.onMessage(topic, take, { maxHz })
    const stopReset = source.onReset(() => take(undefined))
    return () => {
      stop()
      stopReset()
      if (queued !== 0) cancelAnimationFrame(queued)
    }
  }, [source, topic, maxHz])
  return shown
}

/** Subscribes to several topics; `take` may change without subscribing anew. */
export function useMessages(
  source: PanelSource,
  topics: readonly string[],
  take: (m: PanelMessage) => void,
  maxHz: number,
): void {
  const newest = useRef(take)
  useEffect(() => {
    newest.current = take
  })
  const key = topics.join('\n')
  useEffect(() => {
    const names = key === '' ? [] : key.split('\n')
    const stops = names.map((t) => source.onMessage(t, (m) => newest.current(m), { maxHz }))
    return () => stops.forEach((stop) => stop())
  }, [source, key, maxHz])
}

/** What is sought again so soon (scrubbing) needs no past, ms. */
const HISTORY_MS = 200

/**
 * After a jump, the past of the time that is shown, where the source has one: `seconds` of it, the
 * latest piece first, each in order of time. What was given to `useMessages` comes again.
 */
export function useHistory(
  source: PanelSource,
  topics: readonly string[],
  seconds: number,
  take: (older: readonly PanelMessage[]) => void,
): void {
  const newest = useRef(take)
  useEffect(() => {
    newest.current = take
  })
  const key = topics.join('\n')
  useEffect(() => {
    if (!source.history || key === '') return
    let timer: ReturnType<typeof setTimeout> | undefined
    let stops: (() => void)[] = []
    const cancel = () => {
      clearTimeout(timer)
      stops.forEach((stop) => stop())
      stops = []
    }
    const read = (to: bigint) => {
      const from = to - BigInt(Math.round(seconds)) * 1_000_000_000n
      stops = key
        .split('\n')
        .flatMap((t) => source.history?.(t, from, to, (m) => newest.current(m)) ?? [])
    }
    const ask = () => {
      cancel()
      const to = source.now()
      timer = setTimeout(() => read(to), HISTORY_MS)
    }
    ask()
    const stopReset = source.onReset(ask)
    return () => {
      cancel()
      stopReset()
    }
  }, [source, key, seconds])
}

export interface Size {
  readonly width: number
  readonly height: number
}

/** Size of an element in CSS pixels, followed as it changes. */
export function useSize<E extends HTMLElement>(): [React.RefObject<E | null>, Size] {
  const ref = useRef<E>(null)
  const [size, setSize] = useState<Size>({ width: 0, height: 0 })
  useEffect(() => {
    const element = ref.current
    if (!element) return
    const observer = new ResizeObserver(([entry]) => {
      if (!entry) return
      const { width, height } = entry.contentRect
      setSize({ width: Math.floor(width), height: Math.floor(height) })
    })
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  return [ref, size]
}

/** Calls `draw` once an animation frame while `dirty.current` has been set; off in hidden tabs. */
export function useFrames(draw: () => void): void {
  const newest = useRef(draw)
  useEffect(() => {
    newest.current = draw
  })
  useEffect(() => {
    let id = requestAnimationFrame(function step() {
      newest.current()
      id = requestAnimationFrame(step)
    })
    return () => cancelAnimationFrame(id)
  }, [])
}
