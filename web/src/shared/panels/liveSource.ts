import type { Frame } from '../live'
import {
  eventsTarget,
  getConnection,
  onRestart,
  serverNow,
  stream,
  subscribe,
  watchConnection,
} from '../live'
import { msToNs, ns } from '../time'
import { stampOf } from './paths'
import type {
  FrameEvent,
  FrameKind,
  FrameParams,
  PanelFrame,
  PanelMessage,
  PanelSource,
  SourceState,
  TopicInfo,
} from './source'

const TOPICS_HZ = 1

interface SampleEvent {
  type?: unknown
  recv_ns?: unknown
  message?: unknown
  why?: unknown
}

interface GraphTopic {
  topic: string
  type: string
  rate_hz: number | null
}

/** Name of the stream of frames, as the events protocol spells it. */
export function streamTopic(kind: FrameKind, topic: string, p: FrameParams): string {
  const query = [
    ['width', kind === 'image' ? p.width : undefined],
    ['quality', kind === 'image' ? p.quality : undefined],
    ['max', kind === 'points' ? p.max : undefined],
  ]
    .filter((q) => q[1] !== undefined)
    .map((q) => `${q[0]}=${q[1]}`)
    .join('&')
  return `${kind}:${topic}${query === '' ? '' : `?${query}`}`
}

/** The frame as panels know it. */
export function panelFrame(topic: string, f: Frame): PanelFrame {
  const points = f.kind === 'points'
  return {
    topic,
    kind: f.kind,
    seq: f.seq,
    recvNs: f.recvNs,
    stampNs: f.stampNs,
    width: f.width,
    height: f.height,
    fullWidth: points ? 0 : f.width0,
    fullHeight: points ? 0 : f.height0,
    flags: points ? f.width0 : 0,
    frameId: f.frameId,
    payload: f.payload as Uint8Array<ArrayBuffer>,
  }
}

/** A message out of an event of `sample:`. */
export function panelMessage(topic: string, data: unknown, at: number): PanelMessage {
  const d = (data ?? {}) as SampleEvent
  const value = d.message ?? null
  const recv = typeof d.recv_ns === 'string' ? ns(d.recv_ns) : undefined
  return {
    topic,
    type: typeof d.type === 'string' ? d.type : '',
    recvNs: recv ?? msToNs(at),
    stampNs: stampOf(value),
    value,
    why: typeof d.why === 'string' ? d.why : undefined,
  }
}

/** The robot as it is now: the agent's own, or a device behind a server. */
export class LiveSource implements PanelSource {
  private readonly prefix: string
  private list: readonly TopicInfo[] = []
  private names = ''
  private readonly changed = new Set<() => void>()
  private stopTopics: (() => void) | undefined

  constructor(device?: string) {
    this.prefix = eventsTarget(device)
  }

  topics(): readonly TopicInfo[] {
    return this.list
  }

  state(): SourceState {
    const { state } = getConnection()
    return state === 'open' ? 'live' : state === 'connecting' ? 'loading' : 'offline'
  }

  now(): bigint {
    return msToNs(serverNow())
  }

  onReset(cb: () => void): () => void {
    return onRestart(cb)
  }

  onChange(changed: () => void): () => void {
    this.changed.add(changed)
    const stopConnection = watchConnection(changed)
    this.stopTopics ??= subscribe(
      `${this.prefix}topics`,
      { event: (data) => this.takeTopics(data) },
      { maxHz: TOPICS_HZ },
    )
    return () => {
      this.changed.delete(changed)
      stopConnection()
      if (this.changed.size > 0) return
      this.stopTopics?.()
      this.stopTopics = undefined
    }
  }

  onMessage(
    topic: string,
    cb: (m: PanelMessage) => void,
    opts: { maxHz?: number } = {},
  ): () => void {
    return subscribe(
      `${this.prefix}sample:${topic}`,
      {
        event: (data, meta) => cb(panelMessage(topic, data, meta.timeMs)),
        refused: (why) => cb({ topic, type: '', recvNs: this.now(), value: null, why }),
      },
      opts.maxHz === undefined ? {} : { maxHz: opts.maxHz },
    )
  }

  onFrame(
    topic: string,
    kind: FrameKind,
    params: FrameParams,
    cb: (f: FrameEvent) => void | Promise<void>,
  ): () => void {
    const name = this.prefix + streamTopic(kind, topic, params)
    return stream(name, (frame) => cb({ frame: panelFrame(topic, frame) }), {
      onWhy: (why) => void cb({ why }),
      ...(params.maxHz === undefined ? {} : { maxHz: params.maxHz }),
    })
  }

  // Once a second all topics come; panels are told only when there are others than before.
  private takeTopics(data: unknown): void {
    const raw = (data as { topics?: GraphTopic[] } | null)?.topics
    if (!Array.isArray(raw)) return
    const list = raw.map((t) => ({
      name: t.topic,
      type: t.type,
      rateHz: t.rate_hz ?? undefined,
    }))
    list.sort((a, b) => (a.name < b.name ? -1 : 1))
    const names = list.map((t) => `${t.name} ${t.type}`).join('\n')
    if (names === this.names) return
    this.names = names
    this.list = list
    this.changed.forEach((c) => c())
  }
}
