/** What status events say of the last two minutes; kept outside React, a plot draws it. */

const SAMPLES = 120

interface StatusCounts {
  graph?: { received?: number; received_bytes?: number }
}

export interface Rates {
  x: number[]
  messages: number[]
  megabytes: number[]
}

export class RateRing {
  private last: { at: number; received: number; bytes: number } | undefined
  private x: number[] = []
  private messages: number[] = []
  private megabytes: number[] = []

  /** A status of `atMs` (server's clock). A counter that falls is a new life: begin anew. */
  add(status: StatusCounts, atMs: number): void {
    const received = status.graph?.received ?? 0
    const bytes = status.graph?.received_bytes ?? 0
    const before = this.last
    if (before && atMs <= before.at) return
    this.last = { at: atMs, received, bytes }
    if (!before || received < before.received) return
    const s = (atMs - before.at) / 1000
    this.x.push(atMs / 1000)
    this.messages.push((received - before.received) / s)
    this.megabytes.push((bytes - before.bytes) / s / 1e6)
    if (this.x.length <= SAMPLES) return
    this.x.shift()
    this.messages.shift()
    this.megabytes.shift()
  }

  read(): Rates {
    return { x: this.x.slice(), messages: this.messages.slice(), megabytes: this.megabytes.slice() }
  }

  /** Bytes a second over the last `n` samples; undefined before there are any. */
  bytesPerSecond(n = 30): number | undefined {
    const part = this.megabytes.slice(-n)
    if (part.length === 0) return undefined
    return (part.reduce((a, b) => a + b, 0) / part.length) * 1e6
  }
}

/** Seconds until `free` bytes are used up; undefined when nothing is written. */
export function timeUntilFull(
  free: number,
  bytesPerSecond: number | undefined,
): number | undefined {
  return bytesPerSecond !== undefined && bytesPerSecond > 1 ? free / bytesPerSecond : undefined
}
