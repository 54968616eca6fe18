import { parseFrame } from './frame'
import type { Connection, ConnectionState, FromWorker, Wish } from './protocol'

/*
 * The one WebSocket of the page and what is subscribed on it. After a break it comes back with what
 * it saw last (`resume`), after a random time that doubles up to 30 s. It lives in a worker, so that
 * a busy page does not delay it.
 */

const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 10_000
const PROBE_MS = 5_000
const SILENT_MS = 12_000
/** A message is at most 16 KiB, so names are asked for in parts. */
const AT_ONCE = 32
/** What is remembered by the agent, and so can be asked for after a break. */
const remembered = new Set(['sessions', 'alerts', 'log', 'sync', 'robots', 'devices', 'ingest'])

interface Message {
  hello?: { boot: string; time: string }
  id?: unknown
  ok?: boolean
  error?: string
  restarted?: boolean
  subscribed?: { topic: string; stream?: number; gap?: number; seq?: number }[]
  dropped?: { topic: string; count: number }
  topic?: string
  seq?: number
  time?: string
  data?: unknown
}

export class Link {
  private socket: WebSocket | undefined
  private url = ''
  private wishes = new Map<string, Wish>()
  private last = new Map<string, number>()
  private streams = new Map<number, string>()
  private asked = new Map<number, { at: number; topics: string[] }>()
  private boot = ''
  private nextId = 1
  private tries = 0
  private heard = 0
  private offset = 0
  private best = Infinity
  private state: Connection = { state: 'connecting', since: Date.now() }
  private timer: ReturnType<typeof setTimeout> | undefined
  private probe: ReturnType<typeof setInterval> | undefined

  constructor(private readonly tell: (m: FromWorker, move?: Transferable[]) => void) {}

  open(url: string): void {
    this.url = url
    this.connect()
  }

  subscribe(wish: Wish): void {
    this.wishes.set(wish.topic, wish)
    if (this.state.state === 'open') this.ask([wish])
  }

  unsubscribe(topic: string): void {
    if (!this.wishes.delete(topic)) return
    this.last.delete(topic)
    if (this.state.state === 'open') this.send({ unsubscribe: [topic] })
  }

  credit(topic: string, n: number): void {
    if (this.state.state === 'open' && this.wishes.has(topic)) this.send({ credit: { [topic]: n } })
  }

  /** Tries now: after signing in, when the machine wakes up or the network is back. */
  retry(): void {
    if (this.state.state === 'open') {
      this.ping()
      return
    }
    this.tries = 0
    this.connect()
  }

  private connect(): void {
    clearTimeout(this.timer)
    if (this.socket) this.drop(this.socket)
    if (this.state.state !== 'offline' && this.state.state !== 'denied') this.become('connecting')
    const socket = new WebSocket(this.url)
    socket.binaryType = 'arraybuffer'
    socket.onmessage = (e: MessageEvent<string | ArrayBuffer>) => this.take(socket, e.data)
    socket.onclose = (e) => this.lost(socket, e.code)
    this.socket = socket
  }

  private drop(socket: WebSocket): void {
    socket.onmessage = null
    socket.onclose = null
    socket.close()
    if (this.socket === socket) this.socket = undefined
  }

  private lost(socket: WebSocket, code: number): void {
    if (this.socket !== socket) return
    this.drop(socket)
    clearInterval(this.probe)
    this.asked.clear()
    this.streams.clear()
    this.become(code === 4401 || code === 4403 ? 'denied' : 'offline')
    const bound = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.tries++)
    this.timer = setTimeout(() => this.connect(), bound * (0.5 + Math.random() / 2))
  }

  private become(state: ConnectionState, latencyMs = this.state.latencyMs): void {
    const since = state === this.state.state ? this.state.since : Date.now()
    this.state = latencyMs === undefined ? { state, since } : { state, since, latencyMs }
    this.tell({
      is: 'connection',
      connection: this.state,
      clockOffsetMs: this.offset,
      boot: this.boot,
    })
  }

  private send(message: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message))
  }

  private ask(wishes: Wish[]): void {
    for (let i = 0; i < wishes.length; i += AT_ONCE) {
      const part = wishes.slice(i, i + AT_ONCE)
      const id = this.nextId++
      this.asked.set(id, { at: Date.now(), topics: part.map((w) => w.topic) })
      this.send({ id, subscribe: part.map(wireWish) })
    }
  }

  private greet(hello: { boot: string; time: string }): void {
    const same = this.boot === hello.boot
    if (!same && this.boot !== '') this.tell({ is: 'restarted' })
    const last = Object.fromEntries(
      [...this.last].filter(([t]) => this.wishes.has(t) && remembered.has(t)),
    )
    const resume = this.boot !== '' && Object.keys(last).length > 0
    const before = this.boot
    this.boot = hello.boot
    this.best = Infinity
    this.offset = Date.parse(hello.time) - Date.now()
    this.tries = 0
    this.become('open')
    if (resume) {
      const id = this.nextId++
      this.asked.set(id, { at: Date.now(), topics: [] })
      this.send({ id, resume: { boot: before, last } })
    }
    this.ask([...this.wishes.values()].filter((w) => !resume || !(w.topic in last)))
    clearInterval(this.probe)
    this.probe = setInterval(() => this.ping(), PROBE_MS)
    this.ping()
  }

  /** Measures the way there and back; an answer that does not come means that the line is dead. */
  private ping(): void {
    if (this.heard !== 0 && Date.now() - this.heard > SILENT_MS && this.asked.size > 0) {
      const socket = this.socket
      if (socket) this.lost(socket, 0)
      return
    }
    const id = this.nextId++
    this.asked.set(id, { at: Date.now(), topics: [] })
    this.send({ id, unsubscribe: [] })
  }

  private take(socket: WebSocket, data: string | ArrayBuffer): void {
    if (this.socket !== socket) return
    this.heard = Date.now()
    if (typeof data !== 'string') {
      this.takeFrame(data)
      return
    }
    const m = JSON.parse(data) as Message
    if (m.hello) this.greet(m.hello)
    else if (m.dropped) this.tell({ is: 'dropped', ...m.dropped })
    else if (m.topic !== undefined) this.takeEvent(m, m.topic)
    else this.takeAnswer(m)
  }

  private takeFrame(buffer: ArrayBuffer): void {
    const frame = parseFrame(buffer)
    const topic = frame && this.streams.get(frame.stream)
    if (frame && topic !== undefined) this.tell({ is: 'frame', topic, frame }, [buffer])
  }

  private takeEvent(m: Message, topic: string): void {
    const seq = m.seq ?? 0
    this.last.set(topic, seq)
    const timeMs = m.time === undefined ? Date.now() + this.offset : Date.parse(m.time)
    this.tell({ is: 'event', topic, seq, timeMs, data: m.data })
  }

  private takeAnswer(m: Message): void {
    const asked = typeof m.id === 'number' ? this.asked.get(m.id) : undefined
    if (typeof m.id === 'number') this.asked.delete(m.id)
    if (asked) this.measured(Date.now() - asked.at)
    if (m.restarted) this.last.clear()
    for (const s of m.subscribed ?? []) {
      if (s.stream !== undefined) this.streams.set(s.stream, s.topic)
      if (s.gap) this.tell({ is: 'gap', topic: s.topic, count: s.gap })
    }
    if (m.error !== undefined && asked) this.refused(asked.topics, m.error)
  }

  /** A message is done whole or not at all: of several topics each is asked for alone to know which. */
  private refused(topics: string[], why: string): void {
    if (topics.length === 1) this.tell({ is: 'refused', topic: topics[0] ?? '', why })
    else
      for (const t of topics) {
        const wish = this.wishes.get(t)
        if (wish) this.ask([wish])
      }
  }

  private measured(rtt: number): void {
    if (this.state.state !== 'open') return
    this.best = Math.min(this.best, rtt)
    this.become('open', rtt)
  }
}

function wireWish(w: Wish): object {
  return {
    topic: w.topic,
    policy: w.policy,
    ...(w.policy === 'latest' ? { credit: w.credit } : {}),
    ...(w.maxHz === undefined ? {} : { max_hz: w.maxHz }),
  }
}
