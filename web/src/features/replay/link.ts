import { parseLayout, type Layout } from '../../shared/panels'

/** What a link to a replay says: `t`, seconds after the beginning, and `layout`. */
export interface ReplayLink {
  readonly offset: bigint | undefined
  readonly layout: Layout | undefined
}

const NS = 1_000_000_000n
/** A link that is longer is cut by somebody on its way. */
const MAX_LAYOUT = 8000

/** Seconds with nine digits, so that a link leads to the very message. */
export function offsetText(offset: bigint): string {
  return `${offset / NS}.${String(offset % NS).padStart(9, '0')}`.replace(/\.?0+$/, '') || '0'
}

export function parseOffset(text: unknown): bigint | undefined {
  // The router reads what looks like a number as one; its digits are enough for a hundred days.
  const raw = typeof text === 'number' ? text.toFixed(9) : text
  const m = typeof raw === 'string' ? /^(\d{1,9})(?:\.(\d{1,9}))?$/.exec(raw) : null
  if (!m) return undefined
  return BigInt(m[1] ?? 0) * NS + BigInt((m[2] ?? '').padEnd(9, '0'))
}

/** A layout as letters that an address may have. */
export function layoutText(layout: Layout): string | undefined {
  const bytes = new TextEncoder().encode(JSON.stringify(layout))
  const text = btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(''))
  const safe = text.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
  return safe.length > MAX_LAYOUT ? undefined : safe
}

export function parseLayoutText(text: unknown): Layout | undefined {
  if (typeof text !== 'string' || text.length > MAX_LAYOUT) return undefined
  try {
    const raw = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
    const bytes = Uint8Array.from(raw, (c) => c.charCodeAt(0))
    return parseLayout(JSON.parse(new TextDecoder().decode(bytes)))
  } catch {
    return undefined
  }
}

export function parseLink(search: Readonly<Record<string, unknown>>): ReplayLink {
  return { offset: parseOffset(search.t), layout: parseLayoutText(search.layout) }
}
