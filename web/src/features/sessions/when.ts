import { apiUrl } from '../../shared/api/base'
import { call, problem } from '../../shared/api/client'
import { sessionPath } from './queries'

/** A message by its time and its number. */
export interface Heard {
  timeNs: bigint
  sequence: number
}

/** The last message of a topic before a time; undefined: there is none. */
export type LastBefore = (timeNs: bigint) => Promise<Heard | undefined>

const NEAR_NS = 1_000_000n
const MOST_STEPS = 60

/**
 * When the numbers from `first` on went missing: the time of the last message that came before them.
 * Numbers grow with time, so that halving finds it; undefined: none came before.
 */
export async function whenLost(
  first: number,
  from: bigint,
  to: bigint,
  lastBefore: LastBefore,
): Promise<bigint | undefined> {
  let low = from
  let high = to
  let before: Heard | undefined
  for (let i = 0; i < MOST_STEPS && high - low > NEAR_NS; i++) {
    const middle = (low + high) / 2n
    const heard = await lastBefore(middle)
    if (heard !== undefined && heard.sequence >= first) {
      high = heard.timeNs < high ? heard.timeNs : middle
      continue
    }
    low = middle
    before = heard ?? before
    if (heard?.sequence === first - 1) break
  }
  return before?.timeNs
}

/** A message is told to us as a line whose end may be large: only its beginning is read. */
const ENOUGH_BYTES = 1024

async function beginning(url: string, signal: AbortSignal): Promise<string> {
  const stop = new AbortController()
  const res = await call(url, { signal: AbortSignal.any([signal, stop.signal]) })
  if (!res.ok) throw problem(res.status, await res.json().catch(() => undefined))
  const reader = res.body?.getReader()
  const decoder = new TextDecoder()
  let text = ''
  try {
    while (reader && text.length < ENOUGH_BYTES && !text.includes('\n')) {
      const { done, value } = await reader.read()
      if (done) break
      text += decoder.decode(value, { stream: true })
    }
  } finally {
    stop.abort()
  }
  return text
}

/** Time and number from the beginning of a line of `data?format=json`; undefined: no such message. */
export function heardOf(line: string): Heard | undefined {
  if (/"none":\s*true/.test(line.slice(0, ENOUGH_BYTES))) return undefined
  const time = /"log_time_ns":\s*"(\d+)"/.exec(line)?.[1]
  const sequence = /"sequence":\s*(\d+)/.exec(line)?.[1]
  if (time === undefined || sequence === undefined) return undefined
  return { timeNs: BigInt(time), sequence: Number(sequence) }
}

/** Asks the API for the last message of a topic before a time. */
export function lastBeforeOf(id: string, topic: string, signal: AbortSignal): LastBefore {
  return async (timeNs) => {
    const p = new URLSearchParams({
      topics: topic,
      from: String(timeNs),
      to: String(timeNs + 1n),
      format: 'json',
      prior: 'true',
    })
    const url = new URL(sessionPath(id, `/data?${p.toString()}`), apiUrl()).href
    return heardOf(await beginning(url, signal))
  }
}
