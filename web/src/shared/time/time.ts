export type Zone = 'local' | 'utc' | 'robot'

const NS_PER_MS = 1_000_000n

/** Nanoseconds from the API's decimal text; undefined when there are none. */
export function ns(text: string | number | bigint | null | undefined): bigint | undefined {
  if (text === null || text === undefined || text === '') return undefined
  try {
    return BigInt(text)
  } catch {
    return undefined
  }
}

export function nsToMs(value: bigint): number {
  return Number(value / NS_PER_MS)
}

export function msToNs(ms: number): bigint {
  return BigInt(Math.round(ms)) * NS_PER_MS
}

function two(n: number, width = 2): string {
  return String(n).padStart(width, '0')
}

interface Fields {
  date: string
  time: string
  zone: string
}

function offsetName(minutes: number): string {
  if (minutes === 0) return 'UTC'
  const sign = minutes < 0 ? '-' : '+'
  const abs = Math.abs(minutes)
  return `UTC${sign}${two(Math.floor(abs / 60))}:${two(abs % 60)}`
}

/** `robotOffsetMin`: minutes that the robot's clock on the wall is ahead of UTC. */
function fields(ms: number, zone: Zone, robotOffsetMin: number): Fields {
  const minutes =
    zone === 'utc' ? 0 : zone === 'robot' ? robotOffsetMin : -new Date(ms).getTimezoneOffset()
  const d = new Date(ms + minutes * 60_000)
  return {
    date: `${two(d.getUTCFullYear(), 4)}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`,
    time: `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`,
    zone: offsetName(minutes),
  }
}

/** What the zone is called at a time: `UTC`, `UTC+01:00`. */
export function zoneName(ms: number, zone: Zone, robotOffsetMin = 0): string {
  return fields(ms, zone, robotOffsetMin).zone
}

/** A time on an axis whose ticks are `stepS` seconds apart: 24 hours, as fine as the step. */
export function formatTick(ms: number, stepS: number, zone: Zone, robotOffsetMin = 0): string {
  const f = fields(ms, zone, robotOffsetMin)
  if (stepS >= 86_400) return f.date
  if (stepS >= 60)
    return f.time.endsWith('00:00') && f.time.startsWith('00') ? f.date : f.time.slice(0, 5)
  if (stepS >= 1) return f.time
  return `${f.time}.${two(((Math.round(ms) % 1000) + 1000) % 1000, 3)}`
}

export interface FormatOptions {
  zone?: Zone
  robotOffsetMin?: number
  /** digits behind the second, 0 to 9 */
  digits?: number
  date?: boolean
  showZone?: boolean
}

/** `2026-11-29 05:11:07.123 UTC+01:00`, exact to the nanosecond, always with its zone. */
export function formatNs(value: bigint, opts: FormatOptions = {}): string {
  const { zone = 'local', robotOffsetMin = 0, digits = 3, date = true, showZone = true } = opts
  const floor = value / 1_000_000_000n - (value < 0n && value % 1_000_000_000n !== 0n ? 1n : 0n)
  const rest = value - floor * 1_000_000_000n
  const f = fields(Number(floor) * 1000, zone, robotOffsetMin)
  const part = digits > 0 ? `.${String(rest).padStart(9, '0').slice(0, digits)}` : ''
  return [date ? f.date : '', f.time + part, showZone ? f.zone : ''].filter(Boolean).join(' ')
}

/** Seconds in words: `12.4 s`, `3 min 07 s`, `5 h 12 min`, `3 d 04 h`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–'
  if (seconds < 0) return `-${formatDuration(-seconds)}`
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`
  const s = Math.round(seconds)
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`
  const m = Math.floor(s / 60)
  if (m < 24 * 60) return `${Math.floor(m / 60)} h ${two(m % 60)} min`
  const h = Math.floor(m / 60)
  return `${Math.floor(h / 24)} d ${two(h % 24)} h`
}
