import { ahead, block, blockAt, blockCount, type Block, type Grid } from './blocks'
import { Lru } from './lru'
import type { Item, Slice } from './slices'

/** `backfill`: a place was sought and what is there is on the way; `wait`: playing came to a block that is. */
export type PlayerState = 'init' | 'idle' | 'play' | 'wait' | 'backfill' | 'failed' | 'closed'

/** `[from, to]` in nanoseconds. */
export interface Range {
  readonly from: bigint
  readonly to: bigint
}

export interface PlayerView {
  readonly state: PlayerState
  readonly playing: boolean
  readonly time: bigint
  readonly rate: number
  readonly loop: boolean
  /** what is played: all, or a part that was chosen */
  readonly range: Range
  readonly error: Error | undefined
  /** what can be shown without asking, in order */
  readonly buffered: readonly Range[]
}

export interface PlayerIo {
  load(block: Block, signal: AbortSignal): Promise<Slice>
  /** The last item of each topic up to and with `time`: little, so that a seek is quick. */
  at(time: bigint, signal: AbortSignal): Promise<readonly Item[]>
  /** Is a topic told in parts, so that its last message alone is not its state? */
  parts?(topic: string): boolean
  /** What became due, in order. `reset`: time jumped, `items` are the last ones of each topic. */
  emit(items: readonly Item[], reset: boolean): void
  changed(): void
}

export const RATES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5, 10] as const

const CACHE_BYTES = 128 * 1024 * 1024
const PREFETCH = 4
/** What is read ahead shares the other end's processors with what is shown. */
const PREFETCH_AT_ONCE = 2
/** A place that is left sooner (scrubbing) is not read around, ms. */
const SETTLE_MS = 120
/** Blocks that are looked through for the next message of sparse topics. */
const STEP_BLOCKS = 60

/**
 * The last item of each topic up to and with `time`, in order; of topics that are told in `parts`,
 * as transforms are, all that the slice has.
 */
export function lastBefore(
  slice: Slice,
  time: bigint,
  parts: (topic: string) => boolean = () => false,
): Item[] {
  const last = new Map<string, Item>()
  const out: Item[] = []
  for (const item of [...slice.prior, ...slice.items]) {
    if (item.at > time) continue
    if (parts(item.topic)) out.push(item)
    else last.set(item.topic, item)
  }
  return [...out, ...last.values()].sort(byTime).map(asPrior)
}

export function byTime(a: Item, b: Item): number {
  return a.at < b.at ? -1 : a.at > b.at ? 1 : 0
}

function asPrior(item: Item): Item {
  return 'message' in item ? { ...item, message: { ...item.message, prior: true } } : item
}

/** Items with `after < at <= upTo`. */
export function between(slice: Slice, after: bigint, upTo: bigint): Item[] {
  return slice.items.filter((item) => item.at > after && item.at <= upTo)
}

/** Plays a recording by its slices. Has no clock of its own: tick() moves it. */
export class Player {
  readonly #io: PlayerIo
  #grid: Grid
  readonly #cache: Lru<number, Slice>
  readonly #loading = new Map<number, Promise<Slice>>()
  readonly #settleMs: number
  #abort = new AbortController()
  #settling: ReturnType<typeof setTimeout> | undefined
  /** False: the block at `time` had not come when playing reached it, its first items are still due. */
  #entered = true
  #view: PlayerView

  constructor(grid: Grid, io: PlayerIo, time = grid.from, settleMs = SETTLE_MS) {
    this.#grid = grid
    this.#io = io
    this.#settleMs = settleMs
    this.#cache = new Lru(CACHE_BYTES)
    const range = { from: grid.from, to: grid.to }
    this.#view = {
      state: 'init',
      playing: false,
      time: clamp(time, range),
      rate: 1,
      loop: false,
      range,
      error: undefined,
      buffered: [],
    }
  }

  get grid(): Grid {
    return this.#grid
  }

  /** The same object until something changes. */
  view = (): PlayerView => this.#view

  start(): Promise<void> {
    return this.seek(this.#view.time)
  }

  /** Shows `time`; the newest seek aborts what older ones asked for. */
  async seek(time: bigint): Promise<void> {
    if (this.#view.state === 'closed') return
    const to = clamp(time, this.#grid)
    const here = blockAt(this.#grid, to)
    const kept = this.#cache.get(here.index)
    this.#entered = true
    if (!kept) this.#abortAll()
    clearTimeout(this.#settling)
    const { signal } = this.#abort
    this.#set({ state: 'backfill', time: to, error: undefined })
    try {
      const items = kept
        ? lastBefore(kept, to, (topic) => this.#io.parts?.(topic) ?? false)
        : await this.#io.at(to, signal)
      if (signal.aborted || this.#view.time !== to) return
      this.#io.emit(items, true)
      this.#set({ state: this.#view.playing ? 'play' : 'idle' })
      this.#settle(here)
    } catch (error) {
      if (!signal.aborted) this.#fail(error)
    }
  }

  play(): void {
    const { state, playing, time, range } = this.#view
    if (state === 'closed' || playing) return
    const outside = time >= range.to || time < range.from
    this.#set({ playing: true, state: state === 'idle' ? 'play' : state })
    if (outside || state === 'failed') void this.seek(outside ? range.from : time)
  }

  pause(): void {
    const { state } = this.#view
    this.#set({ playing: false, state: state === 'play' || state === 'wait' ? 'idle' : state })
  }

  toggle(): void {
    if (this.#view.playing) this.pause()
    else this.play()
  }

  /** Stands still at so much later, or earlier. */
  jump(deltaNs: bigint): Promise<void> {
    return this.seek(this.#view.time + deltaNs)
  }

  /** Stands still at the next message, or the one before, of all that are shown. */
  async step(forward: boolean): Promise<void> {
    this.pause()
    const { time } = this.#view
    this.#set({ state: 'backfill' })
    const { signal } = this.#abort
    try {
      const at = forward ? await this.#next(time) : await this.#previous(time)
      if (signal.aborted || this.#view.time !== time) return
      await this.seek(at ?? this.#grid.from)
    } catch (error) {
      if (!signal.aborted) this.#fail(error)
    }
  }

  setRate(rate: number): void {
    this.#set({ rate: Math.min(10, Math.max(0.01, rate)) })
  }

  setLoop(loop: boolean): void {
    this.#set({ loop })
  }

  /** What is played from now on; undefined: all. */
  setRange(range: Range | undefined): void {
    const { from, to } = range ?? this.#grid
    const a = clamp(from, this.#grid)
    const b = clamp(to, this.#grid)
    if (a < b) this.#set({ range: { from: a, to: b } })
  }

  /** Moves on by `elapsedMs` of the viewer's time; stands still where a slice has not come. */
  tick(elapsedMs: number): void {
    const { state, rate, time, range } = this.#view
    if (state !== 'play' && state !== 'wait') return
    const from = blockAt(this.#grid, time)
    const slice = this.#cache.get(from.index)
    if (!slice) return this.#waitFor(from)
    const stop = time < range.to ? range.to : this.#grid.to
    const wanted = time + BigInt(Math.round(elapsedMs * rate * 1e6))
    const most = from.to < stop ? from.to : stop
    const to = wanted < most ? wanted : most
    this.#io.emit(between(slice, this.#entered ? time : time - 1n, to), false)
    this.#entered = true
    this.#set({ time: to, state: 'play' })
    if (to >= stop) this.#end()
    else if (to === from.to) this.#enter(to)
  }

  close(): void {
    this.#abortAll()
    this.#cache.clear()
    this.#set({ state: 'closed', playing: false, buffered: [] })
  }

  /** Forgets all slices and asks anew: other topics are shown now, cut into other blocks. */
  async refresh(size = this.#grid.size): Promise<void> {
    if (this.#view.state === 'closed') return
    this.#abortAll()
    this.#cache.clear()
    this.#grid = { ...this.#grid, size }
    this.#set({ buffered: [] })
    await this.seek(this.#view.time)
  }

  // A message at the very beginning of a block is due when it is entered: ticks begin behind it.
  #enter(time: bigint): void {
    const next = blockAt(this.#grid, time)
    const slice = this.#cache.get(next.index)
    this.#entered = slice !== undefined
    if (!slice) return this.#waitFor(next)
    this.#io.emit(
      slice.items.filter((item) => item.at === time),
      false,
    )
    this.#prefetch()
  }

  #waitFor(here: Block): void {
    if (this.#view.state !== 'wait') this.#set({ state: 'wait' })
    if (this.#loading.has(here.index)) return
    this.#need(here)
  }

  // Reads the block that is shown, then what comes behind it. While playing at once.
  #settle(here: Block): void {
    const go = () => (this.#cache.has(here.index) ? this.#prefetch() : this.#need(here))
    if (this.#view.playing || this.#settleMs === 0) go()
    else this.#settling = setTimeout(go, this.#settleMs)
  }

  #need(here: Block): void {
    const { signal } = this.#abort
    this.#slice(here).then(
      () => this.#prefetch(),
      (error: unknown) => {
        if (!signal.aborted) this.#fail(error)
      },
    )
  }

  #end(): void {
    if (this.#view.loop) void this.seek(this.#view.range.from)
    else this.pause()
  }

  #prefetch(): void {
    if (this.#view.state === 'closed') return
    const { index } = blockAt(this.#grid, this.#view.time)
    for (const i of ahead(this.#grid, index, PREFETCH)) {
      if (this.#loading.size >= PREFETCH_AT_ONCE) return
      if (this.#cache.has(i) || this.#loading.has(i)) continue
      const { signal } = this.#abort
      this.#slice(block(this.#grid, i)).then(
        () => !signal.aborted && this.#prefetch(),
        // What fails ahead is asked for again when it is needed, and told then.
        () => undefined,
      )
    }
  }

  #slice(here: Block): Promise<Slice> {
    const kept = this.#cache.get(here.index)
    if (kept) return Promise.resolve(kept)
    const running = this.#loading.get(here.index)
    if (running) return running
    const { signal } = this.#abort
    const done = () => {
      if (this.#loading.get(here.index) === loading) this.#loading.delete(here.index)
    }
    const loading = this.#io.load(here, signal).then(
      (slice) => {
        done()
        if (!signal.aborted) this.#keep(here, slice)
        return slice
      },
      (error: unknown) => {
        done()
        throw error
      },
    )
    this.#loading.set(here.index, loading)
    return loading
  }

  #keep(here: Block, slice: Slice): void {
    this.#cache.set(here.index, slice, slice.bytes)
    const all = [...this.#cache.keys()].sort((a, b) => a - b).map((i) => block(this.#grid, i))
    this.#set({ buffered: joined(all) })
  }

  async #next(time: bigint): Promise<bigint> {
    const first = blockAt(this.#grid, time).index
    const last = Math.min(blockCount(this.#grid) - 1, first + STEP_BLOCKS)
    for (let i = first; i <= last; i++) {
      const slice = await this.#slice(block(this.#grid, i))
      const found = slice.items.find((item) => item.at > time)
      if (found) return found.at
    }
    return block(this.#grid, last).to
  }

  // What a block says of the time before it is all that is needed, however long ago that was.
  async #previous(time: bigint): Promise<bigint | undefined> {
    const slice = await this.#slice(blockAt(this.#grid, time))
    const before = [...slice.prior, ...slice.items].filter((item) => item.at < time)
    return before.reduce<bigint | undefined>(
      (late, { at }) => (late === undefined || at > late ? at : late),
      undefined,
    )
  }

  #abortAll(): void {
    clearTimeout(this.#settling)
    this.#abort.abort()
    this.#abort = new AbortController()
    this.#loading.clear()
  }

  #fail(error: unknown): void {
    const err = error instanceof Error ? error : new Error(String(error))
    this.#set({ state: 'failed', playing: false, error: err })
  }

  #set(change: Partial<PlayerView>): void {
    this.#view = { ...this.#view, ...change }
    this.#io.changed()
  }
}

function clamp(time: bigint, { from, to }: Range): bigint {
  return time < from ? from : time > to ? to : time
}

/** Neighbours in one. */
function joined(blocks: readonly Block[]): Range[] {
  const out: Range[] = []
  for (const { from, to } of blocks) {
    const last = out.at(-1)
    if (last?.to === from) out[out.length - 1] = { from: last.from, to }
    else out.push({ from, to })
  }
  return out
}
