import { describe, expect, it } from 'vitest'

import { binsPerColumn, lossyColumns, placeOf, stripOf, stripOfSegments } from './timeline'

const S = 1_000_000_000n
const frame = { from: 0n, to: 10n * S }
const topic = { topic: '/a', type: 'T', robot: 'r', messages: 8, bytes: 0, at: 2 }

describe('stripOf', () => {
  it('begins where the topic does and leaves gaps', () => {
    const s = stripOf({ ...topic, messages_per_bin: [4, 0, 2] }, 10, 1, [], frame)
    expect([...s.values]).toEqual([-1, -1, 1, -1, 0.5, -1, -1, -1, -1, -1])
    expect(s.mostPerS).toBe(4)
  })

  it('sums up bins when there are many', () => {
    expect(binsPerColumn(2000)).toBe(4)
    const counts = Array.from({ length: 2000 }, () => 5)
    const s = stripOf({ ...topic, at: 0, messages_per_bin: counts }, 2000, 2, [], frame)
    expect(s.values).toHaveLength(500)
    expect(s.mostPerS).toBe(2.5)
  })

  it('shows a loss where nothing came', () => {
    const losses = [{ topic: '/a', lost: 3, from_ns: '7000000000', to_ns: '7500000000' }]
    const s = stripOf({ ...topic, messages_per_bin: [4] }, 10, 1, losses, frame)
    expect([...s.bad]).toEqual([7])
    expect(s.values[7]).toBeGreaterThan(0)
  })
})

describe('lossyColumns', () => {
  it('stays inside', () => {
    const losses = [{ topic: '/a', lost: 1, from_ns: '9900000000', to_ns: '99000000000' }]
    expect([...lossyColumns(losses, '/a', frame, 10)]).toEqual([9])
    expect(lossyColumns(losses, '/b', frame, 10).size).toBe(0)
  })
})

describe('stripOfSegments', () => {
  it('spreads the messages of a segment over its time', () => {
    const segment = { name: 's', bytes: 1, complete: true }
    const s = stripOfSegments(
      [
        { ...segment, messages: 20, first_ns: '0', last_ns: String(2n * S) },
        { ...segment, messages: 5, first_ns: String(5n * S), last_ns: String(6n * S) },
      ],
      frame,
      10,
    )
    expect([...s.values]).toEqual([1, 1, -1, -1, -1, 0.5, -1, -1, -1, -1])
    expect(s.mostPerS).toBe(10)
    expect(s.messages).toBe(25)
  })
})

describe('placeOf', () => {
  it('is bounded', () => {
    expect(placeOf(-1n, frame)).toBe(0)
    expect(placeOf(5n * S, frame)).toBe(0.5)
    expect(placeOf(99n * S, frame)).toBe(1)
    expect(placeOf(1n, { from: 1n, to: 1n })).toBe(0)
  })
})
