import { parseFrameSlice, type End, type Item, type Slice } from './slices'

/** What is asked for: topics by name, and how their pictures and clouds are made. */
export interface Wish {
  readonly topics: readonly string[]
  /** pictures: pixels */
  readonly width?: number | undefined
  /** pictures: JPEG quality, 1 to 100 */
  readonly quality?: number | undefined
  /** clouds: points at most */
  readonly maxPoints?: number | undefined
}

/** `[from, to)` in nanoseconds; `prior`: with the last message before it of each topic. */
export interface Span {
  readonly from: bigint
  readonly to: bigint
  readonly prior: boolean
}

export type Ask = (query: string, signal: AbortSignal) => Promise<ArrayBuffer>

/** An answer holds 4 MiB: a span that needs more of them than this is none to be shown at once. */
const MAX_ANSWERS = 64

/** The query of GET …/data. */
export function queryOf(wish: Wish, span: Span): string {
  const q = new URLSearchParams({
    topics: wish.topics.join(','),
    from: String(span.from),
    to: String(span.to),
    format: 'frames',
  })
  if (span.prior) q.set('prior', 'true')
  if (wish.width !== undefined) q.set('width', String(wish.width))
  if (wish.quality !== undefined) q.set('quality', String(wish.quality))
  if (wish.maxPoints !== undefined) q.set('max_points', String(wish.maxPoints))
  return q.toString()
}

/** Reads a span to its end, however many answers it takes. */
export async function readSpan(
  ask: Ask,
  wish: Wish,
  span: Span,
  signal: AbortSignal,
): Promise<Slice> {
  const empty: Slice = { prior: [], items: [], bytes: 0 }
  if (wish.topics.length === 0) return empty
  let { prior } = empty
  const items: Item[] = []
  let bytes = 0
  let at: End = { reached: span.from, complete: false }
  for (let n = 0; !at.complete; n++) {
    const rest = { from: at.reached, to: span.to, prior: span.prior && n === 0 }
    const answer = parseFrameSlice(await ask(queryOf(wish, rest), signal), wish.topics, rest.from)
    if (n === 0) prior = answer.prior
    items.push(...answer.items)
    bytes += answer.bytes
    // An answer that gets nowhere, or a span without end, must not be asked for for ever.
    const stuck = answer.end.reached <= rest.from || n + 1 >= MAX_ANSWERS
    if (!answer.end.complete && stuck) throw new Error('the recording holds too much here')
    at = answer.end
  }
  return { prior, items, bytes }
}
