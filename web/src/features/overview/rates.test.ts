import { describe, expect, it } from 'vitest'

import { RateRing, timeUntilFull } from './rates'

const status = (received: number, bytes: number) => ({
  graph: { received, received_bytes: bytes },
})

describe('RateRing', () => {
  it('takes differences and begins anew after a restart', () => {
    const r = new RateRing()
    r.add(status(100, 1e6), 1000)
    r.add(status(300, 5e6), 3000)
    expect(r.read()).toEqual({ x: [3], messages: [100], megabytes: [2] })
    r.add(status(5, 10), 4000)
    expect(r.read().x).toEqual([3])
    expect(r.bytesPerSecond()).toBe(2e6)
  })

  it('keeps two minutes and ignores what comes twice', () => {
    const r = new RateRing()
    for (let i = 0; i < 200; i++) r.add(status(i, i), i * 1000)
    r.add(status(199, 199), 199_000)
    expect(r.read().x.length).toBe(120)
  })
})

describe('timeUntilFull', () => {
  it('is unknown when nothing is written', () => {
    expect(timeUntilFull(1e9, 1e6)).toBe(1000)
    expect(timeUntilFull(1e9, 0)).toBeUndefined()
  })
})
