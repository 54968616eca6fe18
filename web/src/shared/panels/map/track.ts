import type { Fix } from './mercator'

const MAX_POINTS = 20_000

/** A fix of sensor_msgs/msg/NavSatFix; undefined when the receiver has none. */
export function fixOf(value: unknown): Fix | undefined {
  const v = value as {
    latitude?: unknown
    longitude?: unknown
    status?: { status?: unknown }
  } | null
  const lat = v?.latitude
  const lon = v?.longitude
  if (typeof lat !== 'number' || typeof lon !== 'number') return undefined
  if (!Number.isFinite(lat) || !Number.isFinite(lon)) return undefined
  if (Math.abs(lat) > 90 || Math.abs(lon) > 180) return undefined
  if (Number(v?.status?.status ?? 0) < 0) return undefined
  return { lat, lon }
}

/** Where the robot was; when it grows too long every other older point goes. */
export class Track {
  points: Fix[] = []

  get length(): number {
    return this.points.length
  }

  get last(): Fix | undefined {
    return this.points.at(-1)
  }

  push(fix: Fix): void {
    this.points.push(fix)
    this.thin()
  }

  /** Puts an older piece before what there is. */
  prepend(older: readonly Fix[]): void {
    this.points = [...older, ...this.points]
    this.thin()
  }

  private thin(): void {
    if (this.points.length > MAX_POINTS) this.points = this.points.filter((_, i) => i % 2 === 1)
  }

  clear(): void {
    this.points = []
  }
}
