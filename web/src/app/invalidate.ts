import { kind } from '../shared/api/client'
import { queryClient } from '../shared/api/query'
import { onRestart, subscribe } from '../shared/live'

/** Which questions an event makes old. */
const old: Record<string, string[]> = {
  sessions: ['sessions', 'session', 'storage'],
  alerts: ['alerts'],
  sync: ['sync'],
  robots: ['robots', 'devices'],
}

const AT_MOST_EVERY_MS = 1000
const waiting = new Set<string>()
let timer: ReturnType<typeof setTimeout> | undefined

function flush(): void {
  timer = undefined
  for (const key of waiting) void queryClient.invalidateQueries({ queryKey: [key] })
  waiting.clear()
}

function mark(keys: string[]): void {
  keys.forEach((k) => waiting.add(k))
  timer ??= setTimeout(flush, AT_MOST_EVERY_MS)
}

/** Has questions asked anew when an event says that something has changed. */
export function startInvalidation(): void {
  const mine =
    kind() === 'server' ? ['sessions', 'alerts', 'robots'] : ['sessions', 'alerts', 'sync']
  for (const topic of mine) {
    const keys = old[topic] ?? []
    subscribe(topic, { event: () => mark(keys), dropped: () => mark(keys) })
  }
  onRestart(() => void queryClient.invalidateQueries())
}
