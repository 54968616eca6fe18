import { translate } from '../../i18n'
import type {
  FrameEvent,
  FrameKind,
  FrameParams,
  PanelMessage,
  PanelSource,
  SourceState,
  TopicInfo,
} from '../../shared/panels'
import { blockSize, gridFor } from './blocks'
import { byTime, Player, type PlayerIo, type Range } from './player'
import { readSpan, type Ask, type Wish } from './reader'
import type { Item, Slice } from './slices'
import {
  bytesPerSecond,
  covers,
  isMedia,
  isStatic,
  isTransforms,
  wishOf,
  type Interest,
} from './wanted'

/** Panels come one after the other, each with its own code: what they want is asked for at once. */
const GATHER_MS = 40
/** Transforms that are said again and again are in this time before a place. */
const TF_BEFORE_NS = 1_000_000_000n

/** The past is read in pieces of this time, and no more bytes of it. */
const PAST_NS = 10_000_000_000n
const PAST_BYTES = 64 * 1024 * 1024

/** Messages of transforms that somebody who comes later is told. */
const MAX_PARTS = 200

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}

function earlier(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}

interface Viewer extends Interest {
  readonly give: (item: Item) => void
  /** nothing comes for it at this place, and why */
  readonly nothing: (why: string) => void
}

/** A recorded session as panels look at it: at the place where its player is. */
export class ReplaySource implements PanelSource {
  readonly player: Player
  readonly #ask: Ask
  readonly #topics: readonly TopicInfo[]
  readonly #types: ReadonlyMap<string, string>
  readonly #span: Range
  readonly #viewers = new Set<Viewer>()
  readonly #onState = new Set<() => void>()
  readonly #onReset = new Set<() => void>()
  readonly #onPlayer = new Set<() => void>()
  /** what was told last of each topic, for who comes later; of transforms many */
  readonly #last = new Map<string, Item[]>()
  #wish: Wish = { topics: [] }
  #statics: Promise<void> | undefined
  #static: readonly Item[] = []
  readonly #closed = new AbortController()
  #gathering: ReturnType<typeof setTimeout> | undefined
  #state: SourceState = 'loading'

  constructor(topics: readonly TopicInfo[], span: Range, ask: Ask, time: bigint) {
    this.#topics = topics
    this.#types = new Map(topics.map((t) => [t.name, t.type]))
    this.#span = span
    this.#ask = ask
    this.player = new Player(gridFor(span.from, span.to, 0), this.#io(), time)
    this.#gather()
  }

  topics(): readonly TopicInfo[] {
    return this.#topics
  }

  state(): SourceState {
    return this.#state
  }

  now(): bigint {
    return this.player.view().time
  }

  onChange(changed: () => void): () => void {
    this.#onState.add(changed)
    return () => this.#onState.delete(changed)
  }

  onReset(cb: () => void): () => void {
    this.#onReset.add(cb)
    return () => this.#onReset.delete(cb)
  }

  /** Calls whenever `player.view()` is another. */
  watch = (changed: () => void): (() => void) => {
    this.#onPlayer.add(changed)
    return () => this.#onPlayer.delete(changed)
  }

  onMessage(topic: string, cb: (m: PanelMessage) => void): () => void {
    const type = this.#types.get(topic) ?? ''
    const without = (why: string): PanelMessage => {
      return { topic, type, recvNs: this.now(), value: null, why }
    }
    const viewer: Viewer = {
      topic,
      as: 'message',
      params: {},
      give: (item) => 'message' in item && cb(item.message),
      nothing: () => undefined,
    }
    if (isMedia(type)) queueMicrotask(() => cb(without(translate('replay:onlyPicture'))))
    return this.#add(viewer)
  }

  // What the viewer says of rates is for a live line: here all that is shown has been fetched.
  onFrame(
    topic: string,
    kind: FrameKind,
    params: FrameParams,
    cb: (f: FrameEvent) => void | Promise<void>,
  ): () => void {
    const slot = new Slot(cb)
    const give = (item: Item) => {
      if ('frame' in item) slot.put({ frame: item.frame })
      else if (item.message.why !== undefined) slot.put({ why: item.message.why })
    }
    const nothing = (why: string) => slot.put({ why })
    const stop = this.#add({ topic, as: kind, params, give, nothing })
    return () => {
      slot.close()
      stop()
    }
  }

  history(
    topic: string,
    from: bigint,
    to: bigint,
    take: (older: readonly PanelMessage[]) => void,
  ): () => void {
    const over = new AbortController()
    // A plot without its past says enough; what is shown says itself what went wrong.
    this.#readPast(topic, { from, to }, take, over.signal).catch(() => undefined)
    return () => over.abort()
  }

  close(): void {
    clearTimeout(this.#gathering)
    this.#closed.abort()
    this.player.close()
  }

  // In pieces of fixed times, so that the same ones are asked for again and are in the browser's cache.
  async #readPast(
    topic: string,
    { from, to }: Range,
    take: (older: readonly PanelMessage[]) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const type = this.#types.get(topic)
    if (type === undefined || isMedia(type)) return
    let left = PAST_BYTES
    for (let end = to + 1n; end > from && end > this.#span.from && left > 0;) {
      const start = ((end - 1n) / PAST_NS) * PAST_NS
      const whole = later(start, this.#span.from)
      const until = earlier(start + PAST_NS, this.#span.to)
      const span = { from: whole, to: until, prior: false }
      const slice = await readSpan(this.#ask, { topics: [topic] }, span, signal)
      if (signal.aborted) return
      const inside = slice.items.filter((i) => i.at >= from && i.at <= to)
      take(inside.flatMap((i) => ('message' in i ? i.message : [])))
      left -= slice.bytes
      end = start
    }
  }

  #add(viewer: Viewer): () => void {
    this.#viewers.add(viewer)
    const last = this.#last.get(viewer.topic) ?? []
    queueMicrotask(() => this.#viewers.has(viewer) && last.forEach(viewer.give))
    this.#gather()
    return () => {
      this.#viewers.delete(viewer)
    }
  }

  #gather(): void {
    clearTimeout(this.#gathering)
    this.#gathering = setTimeout(() => {
      const wish = wishOf(this.#viewers, this.#types)
      if (this.player.view().state !== 'init' && covers(this.#wish, wish)) return
      this.#wish = wish
      this.#last.clear()
      void this.player.refresh(blockSize(bytesPerSecond(wish, this.#topics)))
    }, GATHER_MS)
  }

  #io(): PlayerIo {
    return {
      load: ({ from, to }, signal) => this.#read(from, to, signal),
      at: async (time, signal) => (await this.#read(time + 1n, time + 2n, signal)).prior,
      parts: (topic) => isTransforms(this.#types.get(topic) ?? ''),
      emit: (items, reset) => (reset ? this.#show(items) : this.#tell(items)),
      changed: () => this.#changed(),
    }
  }

  // Static transforms are read once, all of them.
  #asked(): Wish {
    const statics = new Set(this.#topics.filter(isStatic).map((t) => t.name))
    return { ...this.#wish, topics: this.#wish.topics.filter((t) => !statics.has(t)) }
  }

  /** The slice, and of transforms a second before it too: the last message alone is not all of them. */
  async #read(from: bigint, to: bigint, signal: AbortSignal): Promise<Slice> {
    const { topics, ...how } = this.#asked()
    const parts = topics.filter((t) => isTransforms(this.#types.get(t) ?? ''))
    const whole = topics.filter((t) => !parts.includes(t))
    const read = (names: string[], start: bigint) =>
      readSpan(this.#ask, { topics: names, ...how }, { from: start, to, prior: true }, signal)
    const [a, b] = await Promise.all([
      read(whole, from),
      read(parts, from - TF_BEFORE_NS),
      this.#readStatics(),
    ])
    const early = b.items.filter((i) => i.at < from)
    const late = b.items.slice(early.length)
    return {
      prior: [...a.prior, ...b.prior, ...early].sort(byTime),
      items: [...a.items, ...late].sort(byTime),
      bytes: a.bytes + b.bytes,
    }
  }

  #readStatics(): Promise<void> {
    const topics = this.#topics.filter(isStatic).map((t) => t.name)
    if (!topics.some((t) => this.#wish.topics.includes(t))) return Promise.resolve()
    if (this.#statics) return this.#statics
    const span = { ...this.#span, prior: true }
    const reading = readSpan(this.#ask, { topics }, span, this.#closed.signal).then((s) => {
      this.#static = [...s.prior, ...s.items].sort(byTime)
    })
    reading.catch(() => (this.#statics = undefined))
    this.#statics = reading
    return reading
  }

  #show(items: readonly Item[]): void {
    this.#onReset.forEach((cb) => cb())
    this.#last.clear()
    const now = this.now()
    this.#tell([...this.#static.filter((i) => i.at <= now), ...items])
    const why = translate('replay:nothingBefore')
    for (const v of this.#viewers) if (!this.#last.has(v.topic)) v.nothing(why)
  }

  #tell(items: readonly Item[]): void {
    if (items.length === 0) return
    for (const item of items) this.#remember(item)
    for (const v of this.#viewers) {
      for (const item of items) if (item.topic === v.topic) v.give(item)
    }
  }

  #remember(item: Item): void {
    const known = this.#last.get(item.topic)
    const parts = known !== undefined && isTransforms(this.#types.get(item.topic) ?? '')
    this.#last.set(item.topic, parts ? [...known.slice(-MAX_PARTS), item] : [item])
  }

  #changed(): void {
    const view = this.player.view()
    this.#onPlayer.forEach((cb) => cb())
    const state: SourceState =
      view.state === 'init'
        ? 'loading'
        : view.state === 'failed'
          ? 'offline'
          : view.playing
            ? 'playing'
            : 'paused'
    if (state === this.#state) return
    this.#state = state
    this.#onState.forEach((cb) => cb())
  }
}

/** Gives one thing at a time; what comes meanwhile waits, the newest only. */
class Slot {
  readonly #cb: (f: FrameEvent) => void | Promise<void>
  #busy = false
  #waiting: FrameEvent | undefined
  #closed = false

  constructor(cb: (f: FrameEvent) => void | Promise<void>) {
    this.#cb = cb
  }

  put(event: FrameEvent): void {
    this.#waiting = event
    // A tick may bring several frames: the last of them is the one to be drawn.
    if (!this.#busy) {
      this.#busy = true
      queueMicrotask(() => void this.#run())
    }
  }

  close(): void {
    this.#closed = true
  }

  async #run(): Promise<void> {
    while (this.#waiting && !this.#closed) {
      const event = this.#waiting
      this.#waiting = undefined
      try {
        await this.#cb(event)
      } catch {
        // The panel has said so itself.
      }
    }
    this.#busy = false
  }
}
