interface Line {
  x: ArrayLike<number>
  y: ArrayLike<number | null>
}

/**
 * One table of all lines: the first column has every x of any line, rising, the others the value
 * there, undefined where a line has none (not a gap: the line goes on behind it).
 */
export function alignSeries(lines: Line[]): (number | null | undefined)[][] {
  const first = lines[0]
  if (!first) return [[]]
  if (lines.every((l) => l.x === first.x)) {
    return [Array.from(first.x), ...lines.map((l) => Array.from(l.y))]
  }
  const xs = [...new Set(lines.flatMap((l) => Array.from(l.x)))].sort((a, b) => a - b)
  const at = new Map(xs.map((x, i) => [x, i]))
  return [
    xs,
    ...lines.map((l) => {
      const column = new Array<number | null | undefined>(xs.length).fill(undefined)
      for (let i = 0; i < l.x.length; i++) column[at.get(l.x[i] ?? NaN) ?? -1] = l.y[i]
      return column
    }),
  ]
}

export interface Envelope {
  x: Float64Array
  min: Float64Array
  max: Float64Array
}

/** Lowest and highest value of each of `columns` equal parts: no spike is lost by thinning. */
export function envelope(x: ArrayLike<number>, y: ArrayLike<number>, columns: number): Envelope {
  const n = Math.min(columns, x.length)
  const out = { x: new Float64Array(n), min: new Float64Array(n), max: new Float64Array(n) }
  for (let c = 0; c < n; c++) {
    const from = Math.floor((c * x.length) / n)
    const to = Math.floor(((c + 1) * x.length) / n)
    let min = Infinity
    let max = -Infinity
    for (let i = from; i < to; i++) {
      const v = y[i] ?? NaN
      if (v < min) min = v
      if (v > max) max = v
    }
    out.x[c] = x[from] ?? NaN
    out.min[c] = min
    out.max[c] = max
  }
  return out
}
