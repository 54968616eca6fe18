import { stampOf } from '../../shared/panels/paths'
import type { PanelFrame, PanelMessage } from '../../shared/panels/source'

/** One thing of a slice: a decoded message, or a picture or cloud made by the server. */
export type Item =
  | { readonly at: bigint; readonly topic: string; readonly message: PanelMessage }
  | { readonly at: bigint; readonly topic: string; readonly frame: PanelFrame }

/** `items` in order of time; `prior` are the last ones before the slice. */
export interface Slice {
  readonly prior: readonly Item[]
  readonly items: readonly Item[]
  /** about what it weighs in memory */
  readonly bytes: number
}

/** How far an answer goes: all before `reached` is in it. */
export interface End {
  readonly reached: bigint
  readonly complete: boolean
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
const HEAD = 5
const FRAME_HEADER = 64
const MAGIC = 0x314d5042 // "BPM1"
const CUT_OFF = 'the answer is cut off'
const kinds = { 1: 'jpeg', 2: 'png', 3: 'points' } as const

/**
 * A message as a line of JSON; undefined when it is none, as `{"topic", "prior", "none"}`, which
 * says that a topic has no message before the slice.
 */
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

function sorted(all: { item: Item; prior: boolean }[], bytes: number): Slice {
  const byTime = (a: Item, b: Item) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)
  const pick = (prior: boolean) =>
    all
      .filter((x) => x.prior === prior)
      .map((x) => x.item)
      .sort(byTime)
  return { prior: pick(true), items: pick(false), bytes }
}

interface Record {
  type: number
  body: Uint8Array<ArrayBuffer>
}

function* records(buffer: ArrayBuffer): Generator<Record> {
  const view = new DataView(buffer)
  for (let at = 0; at < buffer.byteLength;) {
    if (at + HEAD > buffer.byteLength) throw new Error(CUT_OFF)
    const size = view.getUint32(at, true)
    const end = at + HEAD + size
    if (size > MAX_RECORD || end > buffer.byteLength) throw new Error(CUT_OFF)
    yield { type: view.getUint8(at + 4), body: new Uint8Array(buffer, at + HEAD, size) }
    at = end
  }
}

function parseEnd(text: string): End {
  const { reached, complete } = JSON.parse(text) as { reached?: unknown; complete?: unknown }
  if (typeof reached !== 'string' || typeof complete !== 'boolean') throw new Error(CUT_OFF)
  return { reached: BigInt(reached), complete }
}

/**
 * An answer of `format=frames`: a row of `[u32 length][u8 kind][content]`. Throws when it is cut
 * off. What lies before `from` is prior; what lies behind what was reached comes again with the
 * next answer and is left out.
 */
export function parseFrameSlice(
  buffer: ArrayBuffer,
  topics: readonly string[],
  from: bigint,
): Slice & { readonly end: End } {
  const all: { item: Item; prior: boolean }[] = []
  let end: End | undefined
  for (const { type, body } of records(buffer)) {
    if (type === 1) {
      const item = parseFrame(body, topics)
      if (item) all.push({ item, prior: item.at < from })
      continue
    }
    const text = new TextDecoder().decode(body)
    const line = type === 0 ? parseLine(text) : undefined
    if (line) all.push(line)
    else if (type === 2) end = parseEnd(text)
  }
  if (!end) throw new Error(CUT_OFF)
  const { reached, complete } = end
  const whole = complete ? all : all.filter((x) => x.prior || x.item.at < reached)
  return { ...sorted(whole, buffer.byteLength * 2), end }
}
