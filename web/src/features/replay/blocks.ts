/** A recording is read in blocks of equal time, so that the same slices are asked for again. */
export interface Block {
  readonly index: number
  /** `[from, to)` in nanoseconds */
  readonly from: bigint
  readonly to: bigint
}

/** How a span of time is cut. `size` is nanoseconds and above 0. */
export interface Grid {
  readonly from: bigint
  readonly to: bigint
  readonly size: bigint
}

const MIN_NS = 100_000_000n
const MAX_NS = 5_000_000_000n
const TARGET_BYTES = 2 * 1024 * 1024

/** A grid whose blocks hold about 2 MiB at the mean rate of the recording, between 0.1 and 5 s. */
export function gridFor(from: bigint, to: bigint, bytes: number): Grid {
  const end = to > from ? to : from + 1n
  const seconds = Number(end - from) / 1e9
  const wanted = bytes > 0 ? BigInt(Math.round((TARGET_BYTES / bytes) * seconds * 1e9)) : MAX_NS
  const size = wanted < MIN_NS ? MIN_NS : wanted > MAX_NS ? MAX_NS : wanted
  return { from, to: end, size }
}

export function blockCount(grid: Grid): number {
  return Number((grid.to - grid.from + grid.size - 1n) / grid.size)
}

/** The block that holds `time`; times outside belong to the first or last one. */
export function blockAt(grid: Grid, time: bigint): Block {
  const last = blockCount(grid) - 1
  const index = time <= grid.from ? 0 : Math.min(Number((time - grid.from) / grid.size), last)
  return block(grid, index)
}

export function block(grid: Grid, index: number): Block {
  const from = grid.from + BigInt(index) * grid.size
  const to = from + grid.size
  return { index, from, to: to < grid.to ? to : grid.to }
}

/** Indexes that playing on from `index` needs soonest, nearest first. */
export function ahead(grid: Grid, index: number, count: number): number[] {
  const last = blockCount(grid) - 1
  const out: number[] = []
  for (let i = index + 1; i <= last && out.length < count; i++) out.push(i)
  return out
}
