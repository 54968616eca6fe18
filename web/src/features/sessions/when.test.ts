import { describe, expect, it } from 'vitest'

import { heardOf, whenLost, type Heard } from './when'

const MS = 1_000_000n

/** Ten messages a second from 0 s on, without the numbers from `a` to `b`. */
function topic(a: number, b: number) {
  const all: Heard[] = []
  for (let n = 1; n <= 600; n++) {
    if (n < a || n > b) all.push({ timeNs: BigInt(n) * 100n * MS, sequence: n })
  }
  let asked = 0
  const lastBefore = (t: bigint) => {
    asked++
    return Promise.resolve(all.filter((m) => m.timeNs < t).at(-1))
  }
  return { lastBefore, asked: () => asked }
}

describe('whenLost', () => {
  it('finds the last message before a hole in a few steps', async () => {
    const { lastBefore, asked } = topic(250, 260)
    expect(await whenLost(250, 0n, 61_000n * MS, lastBefore)).toBe(24_900n * MS)
    expect(asked()).toBeLessThan(20)
  })

  it('finds a hole of one message', async () => {
    expect(await whenLost(599, 0n, 61_000n * MS, topic(599, 599).lastBefore)).toBe(59_800n * MS)
  })

  it('knows no time for what was lost before anything came', async () => {
    expect(await whenLost(1, 0n, 61_000n * MS, topic(1, 5).lastBefore)).toBeUndefined()
  })
})

describe('heardOf', () => {
  it('reads the beginning of a line', () => {
    const line = '{"log_time_ns":"1795943606442063741","topic":"/x","sequence":14,"message":{"a"'
    expect(heardOf(line)).toEqual({ timeNs: 1795943606442063741n, sequence: 14 })
  })

  it('knows that there is none', () => {
    expect(heardOf('{"topic":"/x","prior":true,"none":true}')).toBeUndefined()
    expect(heardOf('')).toBeUndefined()
  })
})
