import { useSettings } from '../settings'
import { formatNs, msToNs, type FormatOptions } from './time'

/** Formats times by the zone that was chosen. */
export function useTimeFormat(): (value: bigint | number, opts?: FormatOptions) => string {
  const { zone, robotOffsetMin } = useSettings()
  return (value, opts) =>
    formatNs(typeof value === 'number' ? msToNs(value) : value, { zone, robotOffsetMin, ...opts })
}
