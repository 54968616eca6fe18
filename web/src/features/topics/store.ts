/** The topics of the graph, outside React: rows are told only when their own values change. */
import type { AgentSchemas } from '../../shared/api/query'

export type Topic = AgentSchemas['Topic']

/** Seconds of rates kept of each topic. */
export const HISTORY = 300

export interface History {
  readonly hz: Float32Array
  readonly bytes: Float32Array
  /** how many have come; the newest stands at (count - 1) % HISTORY */
  count: number
}

type Listener = () => void

export class TopicStore {
  /** Names in order; a new array when topics come or go. */
  names: readonly string[] = []
  /** Counts each arrival; what is sorted by values looks at it. */
  version = 0
  private readonly rows = new Map<string, Topic>()
  private readonly histories = new Map<string, History>()
  private readonly ofRow = new Map<string, Set<Listener>>()
  private readonly ofAll = new Set<Listener>()

  get(name: string): Topic | undefined {
    return this.rows.get(name)
  }

  history(name: string): History | undefined {
    return this.histories.get(name)
  }

  watch(listener: Listener): () => void {
    this.ofAll.add(listener)
    return () => this.ofAll.delete(listener)
  }

  watchRow(name: string, listener: Listener): () => void {
    const set = this.ofRow.get(name) ?? new Set()
    this.ofRow.set(name, set)
    set.add(listener)
    return () => {
      set.delete(listener)
      if (set.size === 0) this.ofRow.delete(name)
    }
  }

  /** Takes what `GET /api/v1/topics` or the event `topics` says. */
  take(topics: readonly Topic[]): void {
    const before = this.rows.size
    let fresh = false
    const seen = new Set<string>()
    for (const t of topics) {
      const key = keyOf(t)
      seen.add(key)
      fresh ||= !this.rows.has(key)
      this.rows.set(key, t)
      this.remember(key, t)
    }
    // also at first: that there is none must be told, too
    if (fresh || before !== seen.size || this.version === 0) this.forget(seen)
    this.version++
    for (const key of this.ofRow.keys()) this.ofRow.get(key)?.forEach((l) => l())
    this.ofAll.forEach((l) => l())
  }

  private forget(seen: ReadonlySet<string>): void {
    for (const key of [...this.rows.keys()]) {
      if (seen.has(key)) continue
      this.rows.delete(key)
      this.histories.delete(key)
    }
    this.names = [...this.rows.keys()].sort()
  }

  private remember(key: string, t: Topic): void {
    let h = this.histories.get(key)
    if (!h) {
      h = { hz: new Float32Array(HISTORY), bytes: new Float32Array(HISTORY), count: 0 }
      this.histories.set(key, h)
    }
    h.hz[h.count % HISTORY] = t.rate_hz ?? NaN
    h.bytes[h.count % HISTORY] = t.bytes_per_s ?? NaN
    h.count++
  }
}

/** The same name may stand in two domains. */
export function keyOf(t: Topic): string {
  return `${t.topic} ${t.domain}`
}

/** Messages lost by all causes. */
export function lostOf(t: Topic): number {
  return Object.values(t.lost).reduce((sum, n) => sum + n, 0)
}

/** The least rate that writers promise by their deadline; undefined: they promise none. */
export function expectedHz(t: Topic): number | undefined {
  const deadlines = t.qos.offered.flatMap((q) => (q.deadline_s ? [q.deadline_s] : []))
  return deadlines.length > 0 ? 1 / Math.max(...deadlines) : undefined
}

/** Topics whose rate is known, as somebody reads them. */
export function measured(store: TopicStore): number {
  return store.names.filter((key) => (store.get(key)?.rate_hz ?? null) !== null).length
}

export type SortBy = 'topic' | 'type' | 'hz' | 'bytes' | 'age' | 'writers' | 'lost'

const values: Record<SortBy, (t: Topic) => string | number> = {
  topic: (t) => t.topic,
  type: (t) => t.type,
  hz: (t) => t.rate_hz ?? -1,
  bytes: (t) => t.bytes_per_s ?? -1,
  age: (t) => t.age_s ?? Infinity,
  writers: (t) => t.writers,
  lost: lostOf,
}

export function sortBy(id: string): SortBy {
  return id in values ? (id as SortBy) : 'topic'
}

/** Keys of the topics that fit the search, in the order that was asked for. */
export function select(store: TopicStore, find: string, by: SortBy, down: boolean): string[] {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean)
  const value = values[by]
  const found = store.names
    .map((key) => ({ key, topic: store.get(key) }))
    .filter((r): r is { key: string; topic: Topic } => r.topic !== undefined)
    .filter(({ topic }) => {
      const text = `${topic.topic} ${topic.type} ${topic.robot}`.toLowerCase()
      return words.every((w) => text.includes(w))
    })
  const sign = down ? -1 : 1
  found.sort((a, b) => {
    const x = value(a.topic)
    const y = value(b.topic)
    return (x < y ? -sign : x > y ? sign : 0) || (a.key < b.key ? -1 : 1)
  })
  return found.map((r) => r.key)
}

export type GroupBy = 'none' | 'robot' | 'namespace'

/** A line of the table: the head of a group, or a topic. */
export type Line = { readonly head: string; readonly count: number } | { readonly key: string }

export function groupsOf(store: TopicStore, keys: readonly string[], by: GroupBy): Line[] {
  if (by === 'none') return keys.map((key) => ({ key }))
  const groups = new Map<string, string[]>()
  for (const key of keys) {
    const t = store.get(key)
    const name = by === 'robot' ? (t?.robot ?? '') : namespaceOf(t?.topic ?? '')
    groups.set(name, [...(groups.get(name) ?? []), key])
  }
  return [...groups]
    .sort((a, b) => (a[0] < b[0] ? -1 : 1))
    .flatMap(([head, of]) => [{ head, count: of.length }, ...of.map((key) => ({ key }))])
}

export function namespaceOf(topic: string): string {
  const cut = topic.lastIndexOf('/')
  return cut <= 0 ? '/' : topic.slice(0, cut)
}

export type Recorded = 'recorded' | 'deaf' | 'incompatible' | 'noSession'

/** Whether a topic is recorded, and if not why. */
export function recordedOf(t: Topic): Recorded {
  if (t.deaf) return t.qos.incompatible.length > 0 ? 'incompatible' : 'deaf'
  return t.sessions > 0 ? 'recorded' : 'noSession'
}
