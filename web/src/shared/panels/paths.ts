/** Fields of decoded messages by path: `pose.position.x`, `ranges[3]`, `status[2].values[0].value`. */

export interface FieldValue {
  readonly path: string
  readonly value: number
}

/** What is looked into at most, so that a huge message costs little. */
const MAX_FIELDS = 400
const MAX_ITEMS = 32
const MAX_DEPTH = 12

type Step = string | number

const cache = new Map<string, Step[]>()

function steps(path: string): Step[] {
  const known = cache.get(path)
  if (known) return known
  const made: Step[] = []
  for (const m of path.matchAll(/([^.[\]]+)|\[(\d+)\]/g)) {
    made.push(m[2] === undefined ? (m[1] as string) : Number(m[2]))
  }
  if (cache.size > 1000) cache.clear()
  cache.set(path, made)
  return made
}

/** The value at a path; undefined when there is none. Own fields only. */
export function valueAt(message: unknown, path: string): unknown {
  let at: unknown = message
  for (const step of steps(path)) {
    if (at === null || typeof at !== 'object' || !Object.hasOwn(at, step)) return undefined
    at = (at as Record<Step, unknown>)[step]
  }
  return at
}

/** A number to draw: numbers, booleans as 0 and 1, 64-bit integers from their texts. */
export function toNumber(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  if (typeof value === 'boolean') return value ? 1 : 0
  if (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) return Number(value)
  // builtin_interfaces Time and Duration are drawn as seconds.
  if (isTime(value)) return value.sec + value.nanosec / 1e9
  return undefined
}

export function numberAt(message: unknown, path: string): number | undefined {
  return toNumber(valueAt(message, path))
}

export function isTime(value: unknown): value is { sec: number; nanosec: number } {
  if (value === null || typeof value !== 'object') return false
  const t = value as { sec?: unknown; nanosec?: unknown }
  return (
    typeof t.sec === 'number' && typeof t.nanosec === 'number' && Object.keys(value).length === 2
  )
}

export function join(base: string, key: string | number): string {
  if (typeof key === 'number') return `${base}[${key}]`
  return base === '' ? key : `${base}.${key}`
}

/** The fields of a message that can be drawn, in the message's own order. */
export function numericFields(message: unknown): FieldValue[] {
  const found: FieldValue[] = []
  walk(message, '', 0, found)
  return found
}

function walk(value: unknown, path: string, depth: number, found: FieldValue[]): void {
  if (found.length >= MAX_FIELDS || depth > MAX_DEPTH) return
  const n = path === '' ? undefined : toNumber(value)
  if (n !== undefined) {
    found.push({ path, value: n })
    return
  }
  if (Array.isArray(value)) {
    value.slice(0, MAX_ITEMS).forEach((v, i) => walk(v, join(path, i), depth + 1, found))
  } else if (value !== null && typeof value === 'object') {
    for (const [key, v] of Object.entries(value)) walk(v, join(path, key), depth + 1, found)
  }
}

/** `header.stamp` in nanoseconds; undefined when there is none or it is zero. */
export function stampOf(message: unknown): bigint | undefined {
  const stamp = valueAt(message, 'header.stamp')
  if (!isTime(stamp) || (stamp.sec === 0 && stamp.nanosec === 0)) return undefined
  if (!Number.isInteger(stamp.sec) || !Number.isInteger(stamp.nanosec)) return undefined
  return BigInt(stamp.sec) * 1_000_000_000n + BigInt(stamp.nanosec)
}
