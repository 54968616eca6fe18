/**
 * Where panels get their data from: the live robot, or a recorded session.
 *
 * A panel asks a `PanelSource` only, so that it looks the same in the Live view
 * and in Replay. Times are nanoseconds since 1970; the clock is the source's own:
 * the server's now, or the position of the player.
 */

/** What a panel must know of a topic to offer it. */
export interface TopicInfo {
  /** Name in the graph: `/robot1/odom`. */
  readonly name: string
  /** ROS type: `nav_msgs/msg/Odometry`. */
  readonly type: string
  /** Messages a second, when known. */
  readonly rateHz?: number | undefined
}

/** One decoded message. 64-bit integers in `value` stand as texts. */
export interface PanelMessage {
  readonly topic: string
  readonly type: string
  /** When the recorder received it. */
  readonly recvNs: bigint
  /** `header.stamp`, when the message has one that is not zero. */
  readonly stampNs?: bigint | undefined
  /** Fields by name; null: it could not be decoded and `why` says why. */
  readonly value: unknown
  readonly why?: string | undefined
  /** True: the last one before the time that was sought, not a new one. */
  readonly prior?: boolean | undefined
}

/** What a frame is made for: picture or cloud. */
export type FrameKind = 'image' | 'points'

/** Wishes for frames; the server makes them no larger than this. */
export interface FrameParams {
  /** Picture: width in pixels. */
  readonly width?: number | undefined
  /** Picture: JPEG quality, 1 to 100. */
  readonly quality?: number | undefined
  /** Cloud: how many points at most. */
  readonly max?: number | undefined
  /** Frames a second at most. */
  readonly maxHz?: number | undefined
}

/** A picture or a cloud as the server made it (events protocol, "BPM1"). */
export interface PanelFrame {
  readonly topic: string
  readonly kind: 'jpeg' | 'png' | 'points'
  readonly seq: bigint
  readonly recvNs: bigint
  /** `header.stamp`; 0n: none. */
  readonly stampNs: bigint
  /** Picture: pixels. Cloud: points in this frame. */
  readonly width: number
  /** Picture: pixels. Cloud: points in the message. */
  readonly height: number
  /** Picture: pixels of the message. */
  readonly fullWidth: number
  readonly fullHeight: number
  readonly frameId: string
  /** The picture's bytes, or x y z of each point (float32), then colours, then intensities. */
  readonly payload: Uint8Array<ArrayBuffer>
  /** Cloud: bit 0 colours follow (u8 rgba), bit 1 intensities follow (float32). */
  readonly flags: number
}

/** Either a frame, or the sentence why there is none. */
export type FrameEvent = { readonly frame: PanelFrame } | { readonly why: string }

/** How the source is doing; panels show it, they do not judge it. */
export type SourceState = 'live' | 'playing' | 'paused' | 'loading' | 'offline'

export interface PanelSource {
  /** All topics there are now. The array is the same object until it changes. */
  topics(): readonly TopicInfo[]
  /** Calls when `topics()` or `state()` has changed. Returns how to stop. */
  onChange(changed: () => void): () => void
  state(): SourceState
  /**
   * Messages of a topic, at most `maxHz` a second. After a seek the last message before
   * the new time comes first, with `prior`. Returns how to stop.
   */
  onMessage(topic: string, cb: (m: PanelMessage) => void, opts?: { maxHz?: number }): () => void
  /**
   * Frames of a topic. The next one comes when the promise that `cb` returned has
   * resolved, and it is then the newest. Returns how to stop.
   */
  onFrame(
    topic: string,
    kind: FrameKind,
    params: FrameParams,
    cb: (f: FrameEvent) => void | Promise<void>,
  ): () => void
  /**
   * Messages of a topic in `[from, to]`, nanoseconds; a source of the present has no past and not
   * this function. `take` gets them in pieces, the latest piece first, each in order of time.
   * Returns how to stop.
   */
  history?(
    topic: string,
    from: bigint,
    to: bigint,
    take: (older: readonly PanelMessage[]) => void,
  ): () => void
  /** The time that is shown. */
  now(): bigint
  /** Time jumped back or far ahead: what is drawn of old times must go. Returns how to stop. */
  onReset(cb: () => void): () => void
}
