import type { Frame } from './protocol'

const HEADER = 64
const kinds = { 1: 'jpeg', 2: 'png', 3: 'points' } as const

/** A frame, its payload a view into `buffer`; undefined when it is none. */
export function parseFrame(buffer: ArrayBuffer): Frame | undefined {
  if (buffer.byteLength < HEADER) return undefined
  const v = new DataView(buffer)
  if (v.getUint32(0, true) !== 0x314d5042) return undefined // "BPM1"
  const kind = kinds[v.getUint16(4, true) as keyof typeof kinds]
  const head = v.getUint16(6, true)
  const size = v.getUint32(12, true)
  const idSize = v.getUint16(56, true)
  if (!kind || head < HEADER || head + size + idSize > buffer.byteLength) return undefined
  return {
    kind,
    stream: v.getUint32(8, true),
    seq: v.getBigUint64(16, true),
    recvNs: v.getBigInt64(24, true),
    stampNs: v.getBigInt64(32, true),
    width: v.getUint32(40, true),
    height: v.getUint32(44, true),
    width0: v.getUint32(48, true),
    height0: v.getUint32(52, true),
    frameId: new TextDecoder().decode(new Uint8Array(buffer, head + size, idSize)),
    payload: new Uint8Array(buffer, head, size),
  }
}
