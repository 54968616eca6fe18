import type { FrameKind, PanelFrame, PanelMessage } from '../../shared/panels/source'

/** One thing of a slice: a decoded message, or a picture or cloud made by the server. */
export type Item =
  | { readonly at: bigint; readonly topic: string; readonly message: PanelMessage }
  | { readonly at: bigint; readonly topic: string; readonly frame: PanelFrame }

/** `items` in order of time; `prior` are the last ones before the slice. */
export interface Slice {
  readonly prior: readonly Item[]
  readonly items: readonly Item[]
  readonly bytes: number
}

interface Line {
  log_time_ns?: string
  topic?: string
  type?: string
  message?: unknown
  prior?: boolean
  why?: string
}

const MAX_RECORD = 64 * 1024 * 1024
const FRAME_HEADER = 64
const MAGIC = 0x314d5042 // "BPM1"
const kinds = { 1: 'jpeg', 2: 'png', 3: 'points' } as const

interface Stamp {
  sec?: number
  nanosec?: number
}

function stampOf(message: unknown): bigint | undefined {
  const header = (message as { header?: { stamp?: Stamp } } | null)?.header
  const { sec, nanosec } = header?.stamp ?? {}
  if (typeof sec !== 'number' || typeof nanosec !== 'number') return undefined
  const value = BigInt(sec) * 1_000_000_000n + BigInt(nanosec)
  return value === 0n ? undefined : value
}

/** A line of `format=json`; undefined when it is none. */
export function parseLine(text: string): { item: Item; prior: boolean } | undefined {
  let line: Line
  try {
    line = JSON.parse(text) as Line
    if (typeof line.topic !== 'string' || typeof line.log_time_ns !== 'string') return undefined
    const at = BigInt(line.log_time_ns)
    const value = line.message ?? null
    const prior = line.prior === true
    const message: PanelMessage = {
      topic: line.topic,
      type: line.type ?? '',
      recvNs: at,
      stampNs: stampOf(value),
      value,
      why: line.why,
      prior,
    }
    return { item: { at, topic: line.topic, message }, prior }
  } catch {
    return undefined
  }
}

/** A "BPM1" frame whose stream is an index of `topics`; undefined when it is none. */
export function parseFrame(
  bytes: Uint8Array<ArrayBuffer>,
  topics: readonly string[],
): Item | undefined {
  if (bytes.length < FRAME_HEADER) return undefined
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const kind = kinds[v.getUint16(4, true) as keyof typeof kinds]
  const head = v.getUint16(6, true)
  const size = v.getUint32(12, true)
  const idSize = v.getUint16(56, true)
  const topic = topics[v.getUint32(8, true)]
  if (v.getUint32(0, true) !== MAGIC || !kind || topic === undefined) return undefined
  if (head < FRAME_HEADER || head + size + idSize > bytes.length) return undefined
  const cloud = kind === 'points'
  const at = v.getBigInt64(24, true)
  const frame: PanelFrame = {
    topic,
    kind,
    seq: v.getBigUint64(16, true),
    recvNs: at,
    stampNs: v.getBigInt64(32, true),
    width: v.getUint32(40, true),
    height: v.getUint32(44, true),
    fullWidth: cloud ? 0 : v.getUint32(48, true),
    fullHeight: cloud ? 0 : v.getUint32(52, true),
    flags: cloud ? v.getUint32(48, true) : 0,
    // A copy: x y z are read as float32, which must lie on a multiple of 4.
    payload: bytes.slice(head, head + size),
    frameId: new TextDecoder().decode(bytes.subarray(head + size, head + size + idSize)),
  }
  return { at, topic, frame }
}

export function frameKind(frame: PanelFrame): FrameKind {
  return frame.kind === 'points' ? 'points' : 'image'
}

function sorted(all: { item: Item; prior: boolean }[], bytes: number): Slice {
  const byTime = (a: Item, b: Item) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)
  const pick = (prior: boolean) =>
    all
      .filter((x) => x.prior === prior)
      .map((x) => x.item)
      .sort(byTime)
  return { prior: pick(true), items: pick(false), bytes }
}

/** A slice of JSON lines. A line that is none is left out. */
export function parseJsonSlice(text: string): Slice {
  const all = text
    .split('\n')
    .filter((line) => line !== '')
    .map(parseLine)
    .filter((x) => x !== undefined)
  // Decoded values weigh about three times their text.
  return sorted(all, text.length * 3)
}

/** A slice of `[u32 length][u8 type][body]`; throws when it is cut off. What lies before `from` is prior. */
export function parseFrameSlice(
  buffer: ArrayBuffer,
  topics: readonly string[],
  from: bigint,
): Slice {
  const view = new DataView(buffer)
  const all: { item: Item; prior: boolean }[] = []
  for (let at = 0; at < buffer.byteLength;) {
    if (at + 5 > buffer.byteLength) throw new Error('slice is cut off')
    const size = view.getUint32(at, true)
    const type = view.getUint8(at + 4)
    if (size > MAX_RECORD || at + 5 + size > buffer.byteLength) throw new Error('slice is cut off')
    const body = new Uint8Array(buffer, at + 5, size)
    at += 5 + size
    if (type === 0) {
      const line = parseLine(new TextDecoder().decode(body))
      if (line) all.push(line)
    } else if (type === 1) {
      const item = parseFrame(body, topics)
      if (item) all.push({ item, prior: item.at < from })
    }
  }
  return sorted(all, buffer.byteLength * 2)
}
