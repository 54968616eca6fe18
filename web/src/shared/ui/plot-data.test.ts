import { describe, expect, it } from 'vitest'

import { alignSeries, envelope } from './plot-data'

describe('alignSeries', () => {
  it('joins lines of different times', () => {
    expect(
      alignSeries([
        { x: [1, 3], y: [10, 30] },
        { x: [2, 3], y: [200, 300] },
      ]),
    ).toEqual([
      [1, 2, 3],
      [10, undefined, 30],
      [undefined, 200, 300],
    ])
  })
})

describe('envelope', () => {
  it('keeps spikes', () => {
    const x = Array.from({ length: 1000 }, (_, i) => i)
    const y = x.map((i) => (i === 437 ? 99 : 0))
    const e = envelope(x, y, 10)
    expect(Math.max(...e.max)).toBe(99)
    expect(e.max[4]).toBe(99)
    expect(e.min[4]).toBe(0)
  })
})
