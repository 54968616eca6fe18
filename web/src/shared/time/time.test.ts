import { describe, expect, it } from 'vitest'

import { formatDuration, formatNs, formatTick, ns, zoneName } from './time'

describe('formatNs', () => {
  it('keeps nanoseconds and names the zone', () => {
    const t = ns('1795880944925918113') ?? 0n
    expect(formatNs(t, { zone: 'utc', digits: 9 })).toBe('2026-11-28 15:49:04.925918113 UTC')
    expect(formatNs(t, { zone: 'robot', robotOffsetMin: -210, digits: 0 })).toBe(
      '2026-11-28 12:19:04 UTC-03:30',
    )
  })

  it('copes with times before 1970', () => {
    expect(formatNs(-1n, { zone: 'utc', digits: 9 })).toBe('1969-12-31 23:59:59.999999999 UTC')
  })
})

describe('formatTick', () => {
  const evening = Date.UTC(2026, 10, 29, 21, 5, 9, 250)
  it.each([
    [0.25, '21:05:09.250'],
    [1, '21:05:09'],
    [60, '21:05'],
    [86_400, '2026-11-29'],
  ])('is in 24 hours, ticks of %d s', (step, want) =>
    expect(formatTick(evening, step, 'utc')).toBe(want),
  )
  it('has the date at midnight, in the zone that was chosen', () => {
    const midnight = Date.UTC(2026, 10, 28, 22, 0)
    expect(formatTick(midnight, 3600, 'robot', 120)).toBe('2026-11-29')
    expect(zoneName(midnight, 'robot', 120)).toBe('UTC+02:00')
  })
})

describe('formatDuration', () => {
  it.each([
    [0.0123, '12 ms'],
    [12.34, '12.3 s'],
    [59.97, '1 min 00 s'],
    [187, '3 min 07 s'],
    [18720, '5 h 12 min'],
    [273_600, '3 d 04 h'],
    [Infinity, '–'],
  ])('%d s is %s', (s, want) => expect(formatDuration(s)).toBe(want))
})

describe('ns', () => {
  it('takes texts only when they are numbers', () => {
    expect(ns(null)).toBeUndefined()
    expect(ns('x')).toBeUndefined()
    expect(ns('9007199254740993')).toBe(9007199254740993n)
  })
})
