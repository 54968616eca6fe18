import { describe, expect, it } from 'vitest'

import { queryOf, readSpan } from './reader'
import { parseFrameSlice } from './slices'

const line = (at: number, more = {}) =>
  record(0, text({ log_time_ns: String(at), topic: '/a', type: 't', message: {}, ...more }))
const end = (reached: number, complete = true) =>
  record(2, text({ reached: String(reached), complete }))

describe('parseFrameSlice', () => {
  it('reads lines and marks what came before', () => {
    const stamp = { header: { stamp: { sec: 1, nanosec: 2 } } }
    const before = line(3, { prior: true })
    const bytes = join(before, record(0, text('broken')), line(12, { message: stamp }), end(20))
    const slice = parseFrameSlice(bytes, ['/a'], 10n)
    expect(slice.prior.map((i) => i.at)).toEqual([3n])
    expect(slice.items.map((i) => 'message' in i && i.message.stampNs)).toEqual([1_000_000_002n])
    expect(slice.end).toEqual({ reached: 20n, complete: true })
  })

  it('reads frames by the index of their topic', () => {
    const bytes = join(record(1, frame(1, 5n)), record(1, frame(1, 20n)), end(30))
    const slice = parseFrameSlice(bytes, ['/x', '/cam'], 10n)
    const got = slice.items[0]
    expect(got && 'frame' in got && [got.topic, got.frame.kind, ...got.frame.payload]).toEqual([
      '/cam',
      'jpeg',
      7,
      8,
    ])
    expect(slice.prior.map((i) => i.at)).toEqual([5n])
  })

  it('takes a topic that has nothing before for what it is', () => {
    const none = record(0, text({ topic: '/a', prior: true, none: true }))
    expect(parseFrameSlice(join(none, end(1)), ['/a'], 0n)).toMatchObject({ prior: [], items: [] })
  })

  it('refuses what is cut off', () => {
    const whole = join(record(1, frame(0, 1n)), end(2))
    expect(() => parseFrameSlice(whole.slice(0, 30), ['/x'], 0n)).toThrow()
    expect(() => parseFrameSlice(line(1), ['/x'], 0n)).toThrow()
    expect(() => parseFrameSlice(join(record(2, text({}))), ['/x'], 0n)).toThrow()
  })
})

describe('readSpan', () => {
  const wish = { topics: ['/a', '/b'], width: 640 }
  const signal = new AbortController().signal

  it('asks again from where an answer ended, and tells nothing twice', async () => {
    const asked: string[] = []
    const answers = [
      join(line(5, { prior: true }), line(12), line(17), end(15, false)),
      join(line(17), line(19), end(20)),
    ]
    const slice = await readSpan(
      (query) => {
        asked.push(query)
        return Promise.resolve(answers[asked.length - 1] ?? new ArrayBuffer(0))
      },
      wish,
      { from: 10n, to: 20n, prior: true },
      signal,
    )
    expect(slice.prior.map((i) => i.at)).toEqual([5n])
    expect(slice.items.map((i) => i.at)).toEqual([12n, 17n, 19n])
    expect(asked.map((q) => new URLSearchParams(q).get('from'))).toEqual(['10', '15'])
    expect(asked.map((q) => new URLSearchParams(q).get('prior'))).toEqual(['true', null])
  })

  it('ends when it gets nowhere', async () => {
    const ask = () => Promise.resolve(end(10, false))
    const span = { from: 10n, to: 20n, prior: false }
    await expect(readSpan(ask, wish, span, signal)).rejects.toThrow()
  })

  it('asks for nothing when nothing is shown', async () => {
    const ask = () => Promise.reject(new Error('asked'))
    const span = { from: 0n, to: 1n, prior: true }
    expect((await readSpan(ask, { topics: [] }, span, signal)).items).toEqual([])
  })

  it('writes names so that they survive the address', () => {
    const query = queryOf({ topics: ['/a&b=c', '/d'] }, { from: 1n, to: 2n, prior: false })
    expect(new URLSearchParams(query).get('topics')).toBe('/a&b=c,/d')
  })
})

function text(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

function join(...parts: ArrayBuffer[]): ArrayBuffer {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.byteLength, 0))
  let at = 0
  for (const p of parts) {
    out.set(new Uint8Array(p), at)
    at += p.byteLength
  }
  return out.buffer
}

function frame(stream: number, at: bigint): Uint8Array {
  const bytes = new Uint8Array(67)
  const v = new DataView(bytes.buffer)
  v.setUint32(0, 0x314d5042, true)
  v.setUint16(4, 1, true)
  v.setUint16(6, 64, true)
  v.setUint32(8, stream, true)
  v.setUint32(12, 2, true)
  v.setBigInt64(24, at, true)
  v.setUint16(56, 1, true)
  bytes.set([7, 8, 0x66], 64)
  return bytes
}

function record(type: number, body: Uint8Array): ArrayBuffer {
  const out = new ArrayBuffer(5 + body.length)
  const v = new DataView(out)
  v.setUint32(0, body.length, true)
  v.setUint8(4, type)
  new Uint8Array(out).set(body, 5)
  return out
}
