import { useCallback, useEffect, useRef, useState } from 'react'

import { kind, request } from '../../shared/api/client'
import { onRestart, subscribe } from '../../shared/live'
import { append, type LogLine } from './lines'

interface Logs {
  lines: LogLine[]
  next: number
}

const FIRST = 1000
const SOON_MS = 250
/** a server has no events of its log */
const SERVER_EVERY_MS = 2000

export interface Tail {
  lines: LogLine[] | undefined
  error: unknown
  retry: () => void
}

/** The log as it grows. Events only say that there is more: numbers make sure that none is missed. */
export function useLog(): Tail {
  const [lines, setLines] = useState<LogLine[] | undefined>()
  const [error, setError] = useState<unknown>()
  const next = useRef<number | undefined>(undefined)
  const busy = useRef(false)

  const fetchMore = useCallback(async () => {
    if (busy.current) return
    busy.current = true
    const since = next.current
    try {
      const from = since === undefined ? `tail=${FIRST}` : `since=${since}&tail=2048`
      const got = await request<Logs>(`api/v1/logs?${from}`)
      next.current = got.next
      setLines((old) => (since === undefined ? got.lines : append(old ?? [], got.lines)))
      setError(undefined)
    } catch (e) {
      setError(e)
    } finally {
      busy.current = false
    }
  }, [])

  const again = useCallback(() => {
    next.current = undefined
    void fetchMore()
  }, [fetchMore])

  useEffect(() => {
    void fetchMore()
    const off = onRestart(again) // numbers begin anew
    if (kind() === 'server') {
      const timer = window.setInterval(() => {
        if (document.visibilityState === 'visible') void fetchMore()
      }, SERVER_EVERY_MS)
      return () => {
        off()
        window.clearInterval(timer)
      }
    }
    const stop = followEvents(() => void fetchMore())
    return () => {
      off()
      stop()
    }
  }, [fetchMore, again])

  return { lines, error, retry: again }
}

function followEvents(more: () => void): () => void {
  let timer: number | undefined
  const soon = () => {
    timer ??= window.setTimeout(() => {
      timer = undefined
      more()
    }, SOON_MS)
  }
  const stop = subscribe('log', { event: soon, dropped: soon })
  return () => {
    stop()
    window.clearTimeout(timer)
  }
}
