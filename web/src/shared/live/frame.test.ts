import { describe, expect, it } from 'vitest'

import { parseFrame } from './frame'

function make(kind: number, payload: number[], id: string): ArrayBuffer {
  const name = new TextEncoder().encode(id)
  const bytes = new Uint8Array(64 + payload.length + name.length)
  const v = new DataView(bytes.buffer)
  bytes.set(new TextEncoder().encode('BPM1'))
  v.setUint16(4, kind, true)
  v.setUint16(6, 64, true)
  v.setUint32(8, 7, true)
  v.setUint32(12, payload.length, true)
  v.setBigUint64(16, 9n, true)
  v.setBigInt64(24, 1795880944925918113n, true)
  v.setUint32(40, 640, true)
  v.setUint16(56, name.length, true)
  bytes.set(payload, 64)
  bytes.set(name, 64 + payload.length)
  return bytes.buffer
}

describe('parseFrame', () => {
  it('reads header, payload and name', () => {
    const f = parseFrame(make(1, [1, 2, 3], 'cam'))
    expect(f).toMatchObject({ kind: 'jpeg', stream: 7, seq: 9n, width: 640, frameId: 'cam' })
    expect(f?.recvNs).toBe(1795880944925918113n)
    expect([...(f?.payload ?? [])]).toEqual([1, 2, 3])
  })

  it('refuses what is short, unknown or no frame', () => {
    expect(parseFrame(new ArrayBuffer(10))).toBeUndefined()
    expect(parseFrame(new ArrayBuffer(80))).toBeUndefined()
    expect(parseFrame(make(9, [1], ''))).toBeUndefined()
    expect(parseFrame(make(1, [1, 2, 3], 'cam').slice(0, 65))).toBeUndefined()
  })
})
