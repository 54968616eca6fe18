/** Values of one field over time, and how they are thinned to what a plot has pixels for. */

/** Points kept of one field; older ones go first. 2 x 8 bytes each. */
const MAX_POINTS = 200_000

/** Times in seconds, ascending; a value that comes out of order is left out. */
export class Series {
  private t = new Float64Array(1024)
  private v = new Float64Array(1024)
  private first = 0
  private end = 0

  get length(): number {
    return this.end - this.first
  }

  get lastTime(): number | undefined {
    return this.length > 0 ? this.t[this.end - 1] : undefined
  }

  get lastValue(): number | undefined {
    return this.length > 0 ? this.v[this.end - 1] : undefined
  }

  push(time: number, value: number): void {
    const last = this.lastTime
    if (last !== undefined && time <= last) return
    if (this.end === this.t.length) this.makeRoom()
    this.t[this.end] = time
    this.v[this.end] = value
    this.end++
    if (this.length > MAX_POINTS) this.first++
  }

  /** Puts older values before those that there are; times ascending. */
  prepend(times: readonly number[], values: readonly number[]): void {
    const first = this.length > 0 ? (this.t[this.first] as number) : Infinity
    const old: number[] = []
    times.forEach((time, i) => {
      const before = old.length > 0 ? (times[old.at(-1) as number] as number) : -Infinity
      if (time < first && time > before) old.push(i)
    })
    const room = Math.max(0, MAX_POINTS - this.length)
    const kept = old.slice(Math.max(0, old.length - room))
    const size = Math.max(1024, 2 * (kept.length + this.length))
    const t = new Float64Array(size)
    const v = new Float64Array(size)
    kept.forEach((i, at) => {
      t[at] = times[i] as number
      v[at] = values[i] as number
    })
    t.set(this.t.subarray(this.first, this.end), kept.length)
    v.set(this.v.subarray(this.first, this.end), kept.length)
    this.end = kept.length + this.length
    this.first = 0
    this.t = t
    this.v = v
  }

  clear(): void {
    this.first = this.end = 0
  }

  /** Forgets what is older than `time`. */
  trim(time: number): void {
    this.first = this.indexOf(time)
  }

  /** The value at or before `time`. */
  at(time: number): number | undefined {
    const i = this.indexOf(time)
    if (i < this.end && this.t[i] === time) return this.v[i]
    return i > this.first ? this.v[i - 1] : undefined
  }

  /**
   * Puts the lowest and highest value of each of `columns` equal parts of [from, to) into
   * `out`, two places a part, in the order they came; null where there is nothing.
   */
  envelope(from: number, to: number, columns: number, out: (number | null)[]): void {
    out.length = columns * 2
    out.fill(null)
    const scale = columns / (to - from)
    for (let i = this.indexOf(from); i < this.end; i++) {
      const time = this.t[i] as number
      if (time >= to) break
      const c = Math.min(columns - 1, Math.floor((time - from) * scale)) * 2
      widen(out, c, this.v[i] as number)
    }
  }

  private indexOf(time: number): number {
    let low = this.first
    let high = this.end
    while (low < high) {
      const mid = (low + high) >>> 1
      if ((this.t[mid] as number) < time) low = mid + 1
      else high = mid
    }
    return low
  }

  private makeRoom(): void {
    const size = this.length > this.t.length / 2 ? this.t.length * 2 : this.t.length
    const t = new Float64Array(size)
    const v = new Float64Array(size)
    t.set(this.t.subarray(this.first, this.end))
    v.set(this.v.subarray(this.first, this.end))
    this.end -= this.first
    this.first = 0
    this.t = t
    this.v = v
  }
}

/** Keeps the two extremes of a column in the order in which they came. */
function widen(out: (number | null)[], c: number, value: number): void {
  if (!Number.isFinite(value)) return
  const a = out[c] ?? null
  const b = out[c + 1] ?? null
  if (a === null) {
    out[c] = value
  } else if (b === null) {
    out[c + 1] = value
  } else if (value > Math.max(a, b)) {
    out[c] = Math.min(a, b)
    out[c + 1] = value
  } else if (value < Math.min(a, b)) {
    out[c] = Math.max(a, b)
    out[c + 1] = value
  }
}

/** The times that belong to the places of an envelope. */
export function columnTimes(from: number, to: number, columns: number): number[] {
  const step = (to - from) / columns / 2
  return Array.from({ length: columns * 2 }, (_, i) => from + (i + 0.5) * step)
}
