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

const MIN_NS = 250_000_000n
const MAX_NS = 5_000_000_000n
const TARGET_BYTES = 1024 * 1024

/** Nanoseconds of a block that holds about 1 MiB when `bytes` come in a second. */
export function blockSize(bytes: number): bigint {
  const wanted = bytes > 0 ? BigInt(Math.round((TARGET_BYTES / bytes) * 1e9)) : MAX_NS
  return wanted < MIN_NS ? MIN_NS : wanted > MAX_NS ? MAX_NS : wanted
}

/** What has no length is 1 ns long. */
export function gridFor(from: bigint, to: bigint, bytes: number): Grid {
  return { from, to: to > from ? to : from + 1n, size: blockSize(bytes) }
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
