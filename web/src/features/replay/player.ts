import { ahead, blockAt, type Block, type Grid } from './blocks'
import { Lru } from './lru'
import type { Item, Slice } from './slices'

/** `backfill`: a place was sought and its slice is on the way; `wait`: playing came to one that is. */
export type PlayerState = 'init' | 'idle' | 'play' | 'wait' | 'backfill' | 'failed' | 'closed'

export interface PlayerView {
  readonly state: PlayerState
  readonly playing: boolean
  readonly time: bigint
  readonly rate: number
  readonly loop: boolean
  readonly error: Error | undefined
}

export interface PlayerIo {
  load(block: Block, signal: AbortSignal): Promise<Slice>
  /** What became due, in order. `reset`: time jumped, `items` are the last ones of each topic. */
  emit(items: readonly Item[], reset: boolean): void
  changed(): void
}

export const RATES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5, 10] as const

const CACHE_BYTES = 128 * 1024 * 1024
const PREFETCH = 3

/** The last item of each topic up to and with `time`. */
export function lastBefore(slice: Slice, time: bigint): Item[] {
  const last = new Map<string, Item>()
  for (const item of slice.prior) last.set(item.topic, item)
  for (const item of slice.items) {
    if (item.at > time) break
    last.set(item.topic, item)
  }
  return [...last.values()].map(asPrior)
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
  readonly grid: Grid
  readonly #io: PlayerIo
  readonly #cache = new Lru<number, Slice>(CACHE_BYTES)
  readonly #loading = new Map<number, Promise<Slice>>()
  #abort = new AbortController()
  /** False: the block at `time` had not come when playing reached it, its first items are still due. */
  #entered = true
  #view: PlayerView

  constructor(grid: Grid, io: PlayerIo, time = grid.from) {
    this.grid = grid
    this.#io = io
    this.#view = {
      state: 'init',
      playing: false,
      time: this.#clamp(time),
      rate: 1,
      loop: false,
      error: undefined,
    }
  }

  /** The same object until something changes. */
  view = (): PlayerView => this.#view

  start(): Promise<void> {
    return this.seek(this.#view.time)
  }

  /** Shows `time`; the newest seek aborts what older ones asked for. */
  async seek(time: bigint): Promise<void> {
    if (this.#view.state === 'closed') return
    const to = this.#clamp(time)
    const here = blockAt(this.grid, to)
    this.#entered = true
    if (!this.#cache.has(here.index)) this.#abortAll()
    const { signal } = this.#abort
    this.#set({ state: 'backfill', time: to, error: undefined })
    try {
      const slice = await this.#slice(here)
      if (signal.aborted || this.#view.time !== to) return
      this.#io.emit(lastBefore(slice, to), true)
      this.#set({ state: this.#view.playing ? 'play' : 'idle' })
      this.#prefetch(here.index)
    } catch (error) {
      if (!signal.aborted) this.#fail(error)
    }
  }

  play(): void {
    if (this.#view.state === 'closed' || this.#view.playing) return
    const atEnd = this.#view.time >= this.grid.to
    const failed = this.#view.state === 'failed'
    this.#set({ playing: true, state: this.#view.state === 'idle' ? 'play' : this.#view.state })
    if (atEnd || failed) void this.seek(atEnd ? this.grid.from : this.#view.time)
  }

  pause(): void {
    const { state } = this.#view
    this.#set({ playing: false, state: state === 'play' || state === 'wait' ? 'idle' : state })
  }

  toggle(): void {
    if (this.#view.playing) this.pause()
    else this.play()
  }

  step(deltaNs: bigint): Promise<void> {
    this.pause()
    return this.seek(this.#view.time + deltaNs)
  }

  setRate(rate: number): void {
    this.#set({ rate: Math.min(10, Math.max(0.01, rate)) })
  }

  setLoop(loop: boolean): void {
    this.#set({ loop })
  }

  /** Moves on by `elapsedMs` of the viewer's time; stands still where a slice has not come. */
  tick(elapsedMs: number): void {
    const { state, rate, time } = this.#view
    if (state !== 'play' && state !== 'wait') return
    const from = blockAt(this.grid, time)
    const wanted = this.#clamp(time + BigInt(Math.round(elapsedMs * rate * 1e6)))
    const slice = this.#cache.get(from.index)
    if (!slice) return this.#waitFor(from)
    const to = wanted < from.to ? wanted : from.to
    this.#io.emit(between(slice, this.#entered ? time : time - 1n, to), false)
    this.#entered = true
    this.#set({ time: to, state: 'play' })
    if (to >= this.grid.to) this.#end()
    else if (to === from.to) this.#enter(to)
  }

  close(): void {
    this.#abortAll()
    this.#cache.clear()
    this.#set({ state: 'closed', playing: false })
  }

  /** Forgets all slices: other topics are shown now. */
  async refresh(): Promise<void> {
    if (this.#view.state === 'closed') return
    this.#abortAll()
    this.#cache.clear()
    await this.seek(this.#view.time)
  }

  /** A message at the very beginning of a block is due when it is entered: ticks begin behind it. */
  #enter(time: bigint): void {
    const next = blockAt(this.grid, time)
    const slice = this.#cache.get(next.index)
    this.#entered = slice !== undefined
    if (!slice) return this.#waitFor(next)
    this.#io.emit(
      slice.items.filter((item) => item.at === time),
      false,
    )
    this.#prefetch(next.index)
  }

  #waitFor(here: Block): void {
    if (this.#view.state !== 'wait') this.#set({ state: 'wait' })
    if (this.#loading.has(here.index)) return
    const { signal } = this.#abort
    this.#slice(here).then(
      () => this.#prefetch(here.index),
      (error: unknown) => {
        if (!signal.aborted) this.#fail(error)
      },
    )
  }

  #end(): void {
    if (this.#view.loop) void this.seek(this.grid.from)
    else this.pause()
  }

  #prefetch(index: number): void {
    for (const i of ahead(this.grid, index, PREFETCH)) {
      if (this.#cache.has(i) || this.#loading.has(i)) continue
      // What fails ahead is asked for again when it is needed, and told then.
      this.#slice(blockAt(this.grid, this.grid.from + BigInt(i) * this.grid.size)).catch(
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
    const loading = this.#io.load(here, signal).then((slice) => {
      if (!signal.aborted) this.#cache.set(here.index, slice, slice.bytes)
      return slice
    })
    this.#loading.set(here.index, loading)
    const done = () => {
      if (this.#loading.get(here.index) === loading) this.#loading.delete(here.index)
    }
    loading.then(done, done)
    return loading
  }

  #abortAll(): void {
    this.#abort.abort()
    this.#abort = new AbortController()
    this.#loading.clear()
  }

  #fail(error: unknown): void {
    const err = error instanceof Error ? error : new Error(String(error))
    this.#set({ state: 'failed', playing: false, error: err })
  }

  #clamp(time: bigint): bigint {
    return time < this.grid.from ? this.grid.from : time > this.grid.to ? this.grid.to : time
  }

  #set(change: Partial<PlayerView>): void {
    this.#view = { ...this.#view, ...change }
    this.#io.changed()
  }
}
