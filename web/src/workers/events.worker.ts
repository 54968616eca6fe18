import { Link } from '../shared/live/link'
import type { ToWorker } from '../shared/live/protocol'

declare const self: DedicatedWorkerGlobalScope

const link = new Link((message, move) => self.postMessage(message, move ?? []))

self.onmessage = (e: MessageEvent<ToWorker>) => {
  const m = e.data
  switch (m.do) {
    case 'open':
      return link.open(m.url)
    case 'subscribe':
      return link.subscribe(m.wish)
    case 'unsubscribe':
      return link.unsubscribe(m.topic)
    case 'credit':
      return link.credit(m.topic, m.n)
    case 'retry':
      return link.retry()
  }
}
