/** Between the page and the worker that holds the WebSocket. */

export type Policy = 'bounded' | 'latest'

export interface Wish {
  topic: string
  policy: Policy
  credit: number
  maxHz: number | undefined
}

export type ToWorker =
  | { do: 'open'; url: string }
  | { do: 'subscribe'; wish: Wish }
  | { do: 'unsubscribe'; topic: string }
  | { do: 'credit'; topic: string; n: number }
  | { do: 'retry' }

export type ConnectionState = 'connecting' | 'open' | 'offline' | 'denied'

export interface Connection {
  state: ConnectionState
  /** ms of the page's clock when it became so */
  since: number
  latencyMs?: number
}

/** One binary message of a stream (docs/api/events.md). */
export interface Frame {
  kind: 'jpeg' | 'png' | 'points'
  stream: number
  seq: bigint
  recvNs: bigint
  stampNs: bigint
  /** pixels sent; for points: how many were sent, and how many the cloud had */
  width: number
  height: number
  /** pixels of the original; for points: flags (1: rgba follow, 2: intensity follow) and 0 */
  width0: number
  height0: number
  frameId: string
  payload: Uint8Array
}

export type FromWorker =
  | { is: 'connection'; connection: Connection; clockOffsetMs: number; boot: string }
  | { is: 'event'; topic: string; seq: number; timeMs: number; data: unknown }
  | { is: 'frame'; topic: string; frame: Frame }
  | { is: 'dropped'; topic: string; count: number }
  | { is: 'gap'; topic: string; count: number }
  | { is: 'restarted' }
  | { is: 'refused'; topic: string; why: string }
