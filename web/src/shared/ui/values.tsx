import { useServerTime } from '../live'
import { useSettings } from '../settings'
import { formatDuration, ns as parseNs, useTimeFormat } from '../time'
import { figures, formatBytes, formatNumber } from './numbers'

const NONE = '–'

interface NumProps {
  value: number | null | undefined
  unit?: string
  digits?: number
}

export function Num({ value, unit, digits = 0 }: NumProps) {
  const text = value === null || value === undefined ? NONE : formatNumber(value, digits)
  return <span className="bp-num">{unit && text !== NONE ? `${text}\u00a0${unit}` : text}</span>
}

export function Bytes({ value }: { value: number | null | undefined }) {
  const { bytes } = useSettings()
  return (
    <span className="bp-num">
      {value === null || value === undefined ? NONE : formatBytes(value, bytes)}
    </span>
  )
}

interface RateProps {
  /** per second */
  value: number | null | undefined
  of?: 'bytes' | 'messages' | 'hz'
}

export function Rate({ value, of = 'bytes' }: RateProps) {
  const { bytes } = useSettings()
  if (value === null || value === undefined) return <span className="bp-num">{NONE}</span>
  const text =
    of === 'bytes'
      ? `${formatBytes(value, bytes)}/s`
      : of === 'hz'
        ? `${figures(value)} Hz`
        : `${formatNumber(value)} msg/s`
  return <span className="bp-num">{text}</span>
}

export function Duration({ seconds }: { seconds: number | null | undefined }) {
  return (
    <span className="bp-num">
      {seconds === null || seconds === undefined ? NONE : formatDuration(seconds)}
    </span>
  )
}

/** How long ago by the server's clock; `at` in ms. Ticks by itself and tells no screen reader. */
export function Age({ at }: { at: number | null | undefined }) {
  const now = useServerTime(1000)
  if (!at) return <span className="bp-num">{NONE}</span>
  const s = Math.max(0, (now - at) / 1000)
  return (
    <span className="bp-num" aria-live="off">
      {s < 60 ? `${Math.round(s)} s` : formatDuration(s)}
    </span>
  )
}

interface DateTimeProps {
  ns?: string | bigint | null | undefined
  ms?: number | undefined
  digits?: number
  date?: boolean
}

export function DateTime({ ns, ms, digits = 0, date = true }: DateTimeProps) {
  const format = useTimeFormat()
  const value = ns === undefined || ns === null ? undefined : parseNs(ns)
  if (value === undefined && ms === undefined) return <span className="bp-num">{NONE}</span>
  const text = format(value ?? ms ?? 0, { digits, date })
  return (
    <time className="bp-num" title={format(value ?? ms ?? 0, { digits: 9 })}>
      {text}
    </time>
  )
}
