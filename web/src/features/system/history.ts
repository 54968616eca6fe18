const SAMPLES = 300
const GAP_MS = 15_000

type Column = (number | null)[]

/** What the page has seen, by name: columns as long as `x`, null where nothing was told. */
export class History {
  private x: number[] = []
  private columns = new Map<string, Column>()

  /** A sample of `atMs`; one that is not newer is not taken. */
  add(sample: Record<string, number>, atMs: number): boolean {
    const last = this.x.at(-1)
    if (last !== undefined && atMs <= last * 1000) return false
    // Nobody looked in between: a line across would be a guess.
    if (last !== undefined && atMs - last * 1000 > GAP_MS) this.push({}, last * 1000 + 1)
    this.push(sample, atMs)
    return true
  }

  private push(sample: Record<string, number>, atMs: number): void {
    for (const name of Object.keys(sample)) {
      if (this.columns.has(name)) continue
      this.columns.set(name, new Array<number | null>(this.x.length).fill(null))
    }
    this.x.push(atMs / 1000)
    for (const [name, column] of this.columns) column.push(sample[name] ?? null)
    while (this.x.length > SAMPLES) {
      this.x.shift()
      for (const column of this.columns.values()) column.shift()
    }
    for (const [name, column] of this.columns) {
      if (column.every((v) => v === null)) this.columns.delete(name)
    }
  }

  /** Copies, so that plots see a change. */
  read(): Seen {
    const x = this.x.slice()
    const columns = new Map([...this.columns].map(([name, c]) => [name, c.slice()]))
    return {
      x,
      of: (name) => columns.get(name) ?? new Array<number | null>(x.length).fill(null),
    }
  }
}

export interface Seen {
  /** seconds since 1970 */
  x: number[]
  of: (name: string) => Column
}

export interface Scale {
  /** 'kB/s' */
  unit: string
  by: number
}

/** The unit in which the largest of these rates has up to three figures before the point. */
export function scaleOf(columns: Column[], binary: boolean): Scale {
  const step = binary ? 1024 : 1000
  const units = binary ? ['B/s', 'KiB/s', 'MiB/s', 'GiB/s'] : ['B/s', 'kB/s', 'MB/s', 'GB/s']
  const most = Math.max(0, ...columns.flat().map((v) => v ?? 0))
  let i = 0
  let by = 1
  while (most >= by * step && i < units.length - 1) {
    by *= step
    i++
  }
  return { unit: units[i] ?? 'B/s', by }
}

/** Values of a column in a scale; gaps stay. */
export function scaled(column: Column, { by }: Scale): Column {
  return column.map((v) => (v === null ? null : v / by))
}
