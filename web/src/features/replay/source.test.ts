import { afterEach, describe, expect, it, vi } from 'vitest'

import type { PanelMessage } from '../../shared/panels'
import { ReplaySource } from './source'

vi.mock('../../i18n', () => ({ translate: (key: string) => key }))

const S = 1_000_000_000n
const TF = 'tf2_msgs/msg/TFMessage'
const topics = [
  { name: '/odom', type: 'nav_msgs/msg/Odometry', rateHz: 1 },
  { name: '/tf', type: TF, rateHz: 10 },
  { name: '/tf_static', type: TF, rateHz: 1 },
  { name: '/cam', type: 'sensor_msgs/msg/Image', rateHz: 1 },
]
/** Seconds at which messages are. */
const recorded: Record<string, number[]> = {
  '/odom': [1, 2, 3, 4, 5],
  '/tf': [1.8, 1.9, 2.0, 2.1],
  '/tf_static': [0.2, 4.5],
  '/cam': [],
}

const ns = (s: number) => BigInt(Math.round(s * 1000)) * 1_000_000n

/** Answers as the API does. */
function answer(query: string): Promise<ArrayBuffer> {
  const q = new URLSearchParams(query)
  const from = BigInt(q.get('from') ?? 0)
  const to = BigInt(q.get('to') ?? 0)
  const rows: Uint8Array[] = []
  for (const topic of (q.get('topics') ?? '').split(',')) {
    const times = (recorded[topic] ?? []).map(ns)
    const before = times.filter((t) => t < from).at(-1)
    if (before !== undefined) rows.push(record(0, { ...line(topic, before), prior: true }))
    else rows.push(record(0, { topic, prior: true, none: true }))
    for (const t of times) if (t >= from && t < to) rows.push(record(0, line(topic, t)))
  }
  rows.push(record(2, { reached: String(to), complete: true }))
  return new Blob(rows as Uint8Array<ArrayBuffer>[]).arrayBuffer()
}

function line(topic: string, at: bigint) {
  return { topic, type: '', log_time_ns: String(at), message: { at: String(at) } }
}

function record(kind: number, value: unknown): Uint8Array {
  const body = new TextEncoder().encode(JSON.stringify(value))
  const out = new Uint8Array(5 + body.length)
  new DataView(out.buffer).setUint32(0, body.length, true)
  out[4] = kind
  out.set(body, 5)
  return out
}

const open: ReplaySource[] = []
function source(at: bigint, asked: string[] = []): ReplaySource {
  const ask = (query: string) => {
    asked.push(new URLSearchParams(query).get('topics') ?? '')
    return answer(query)
  }
  const made = new ReplaySource(topics, { from: 0n, to: 6n * S }, ask, at)
  open.push(made)
  return made
}
afterEach(() => open.splice(0).forEach((s) => s.close()))

function look(s: ReplaySource, topic: string): { messages: PanelMessage[]; at: () => number[] } {
  const messages: PanelMessage[] = []
  s.onMessage(topic, (m) => messages.push(m))
  return { messages, at: () => messages.map((m) => Number(m.recvNs) / 1e9) }
}

const ready = (s: ReplaySource) =>
  vi.waitFor(() => expect(s.player.view().state).toBe('idle'), { timeout: 2000 })

describe('ReplaySource', () => {
  it('shows what was so at the place where it opens', async () => {
    const s = source(2n * S + 50_000_000n)
    const odom = look(s, '/odom')
    const tf = look(s, '/tf')
    const statics = look(s, '/tf_static')
    await ready(s)
    expect(odom.at()).toEqual([2])
    expect(odom.messages[0]?.prior).toBe(true)
    expect(tf.at()).toEqual([1.8, 1.9, 2])
    expect(statics.at()).toEqual([0.2])
  })

  it('begins anew after a jump', async () => {
    const s = source(S)
    const odom = look(s, '/odom')
    const statics = look(s, '/tf_static')
    await ready(s)
    let resets = 0
    s.onReset(() => resets++)
    await s.player.seek(5n * S)
    expect(odom.at()).toEqual([1, 5])
    expect(statics.at()).toEqual([0.2, 0.2, 4.5])
    expect(resets).toBe(1)
    await s.player.seek(0n)
    expect(odom.at()).toEqual([1, 5])
  })

  it('tells a panel that comes later what is shown', async () => {
    const s = source(3n * S)
    const first = look(s, '/odom')
    await ready(s)
    const second = look(s, '/odom')
    await Promise.resolve()
    expect(second.at()).toEqual(first.at())
  })

  it('tells a panel that comes later all transforms', async () => {
    const s = source(2n * S)
    const first = look(s, '/tf')
    await ready(s)
    const second = look(s, '/tf')
    await Promise.resolve()
    expect(second.at()).toEqual([1.8, 1.9, 2])
    expect(second.at()).toEqual(first.at())
  })

  it('asks for all topics of several panels at once', async () => {
    const asked: string[] = []
    const s = source(3n * S, asked)
    look(s, '/odom')
    s.onFrame('/cam', 'image', { width: 320 }, () => undefined)
    await ready(s)
    expect(asked[0]).toBe('/cam,/odom')
  })

  it('reads the past of a place, the latest first', async () => {
    const s = source(3n * S)
    const got: number[] = []
    s.history('/odom', 2n * S, 4n * S, (older) =>
      got.push(...older.map((m) => Number(m.recvNs / S))),
    )
    await vi.waitFor(() => expect(got).toEqual([2, 3, 4]))
  })

  it('says why there is no picture', async () => {
    const s = source(3n * S)
    const why: unknown[] = []
    s.onFrame('/cam', 'image', {}, (e) => void why.push(e))
    const raw = look(s, '/cam')
    await ready(s)
    await vi.waitFor(() => expect(why).toEqual([{ why: 'replay:nothingBefore' }]))
    expect(raw.messages).toMatchObject([{ value: null, why: 'replay:onlyPicture' }])
  })
})
