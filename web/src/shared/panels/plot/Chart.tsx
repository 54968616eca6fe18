import { Button } from '@mantine/core'
import {
  useEffect,
  useImperativeHandle,
  useRef,
  useState,
  type KeyboardEvent,
  type Ref,
} from 'react'
import type UPlot from 'uplot'

import { getSettings } from '../../settings'
import { formatNs, zoneName } from '../../time'
import { useSize } from '../hooks'
import { columnTimes, type Series } from '../series'
import classes from './Chart.module.css'
import { seriesColor, seriesDash } from './colors'

export interface ChartView {
  /** Draws what lies between two times (seconds since 1970). */
  draw: (from: number, to: number) => void
}

type Range = readonly [number, number]

interface ChartProps {
  ref: Ref<ChartView>
  names: readonly string[]
  series: readonly Series[]
  dark: boolean
  /** the range stands still: a button leads back to now */
  held: boolean
  onRange: (range: Range | undefined) => void
  labels: { follow: string; help: string }
}

const LEGEND = 22

/** Lines over time by uPlot, thinned to the lowest and highest value of each pixel column. */
export function Chart({ ref, names, series, dark, held, onRange, labels }: ChartProps) {
  const [box, { width, height }] = useSize<HTMLDivElement>()
  const host = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot | undefined>(undefined)
  const range = useRef<Range>([0, 1])
  const [ready, setReady] = useState(false)
  const rows = Math.min(3, names.length + 1) // the time has one too

  useEffect(() => {
    let over = false
    let mine: UPlot | undefined
    void import('./uplot').then(({ makePlot }) => {
      if (over || !host.current) return
      mine = makePlot(host.current, lineOptions(names, dark, onRange, timeText))
      plot.current = mine
      setReady(true)
    })
    return () => {
      over = true
      mine?.destroy()
      plot.current = undefined
    }
    // The chart is made anew (by its key) when names or theme change.
  }, [])

  useEffect(() => {
    if (width > 0) plot.current?.setSize({ width, height: Math.max(60, height - rows * LEGEND) })
  }, [width, height, rows, ready])

  useImperativeHandle(ref, () => ({
    draw: (from, to) => {
      range.current = [from, to]
      const u = plot.current
      if (u && width > 0) drawRange(u, series, from, to)
    },
  }))
  return (
    <div
      ref={box}
      className={classes.box}
      tabIndex={0}
      role="group"
      aria-label={labels.help}
      onKeyDown={(e) => keyRange(e, range.current, onRange)}
    >
      <div ref={host} />
      {held && (
        <Button size="compact-xs" className={classes.follow} onClick={() => onRange(undefined)}>
          {labels.follow}
        </Button>
      )}
    </div>
  )
}

function timeText(seconds: number): string {
  const { zone, robotOffsetMin } = getSettings()
  const ns = BigInt(Math.round(seconds * 1e3)) * 1_000_000n
  return formatNs(ns, { zone, robotOffsetMin, date: false, showZone: false })
}

function zoneText(): string {
  const { zone, robotOffsetMin } = getSettings()
  return zoneName(Date.now(), zone, robotOffsetMin)
}

function lineOptions(
  names: readonly string[],
  dark: boolean,
  onRange: (r: Range) => void,
  time: (s: number) => string,
) {
  return {
    lines: names.map((label, i) => ({ label, color: seriesColor(i, dark), dash: seriesDash(i) })),
    ink: dark ? '#c9c9c9' : '#495057',
    grid: dark ? '#3b3b3b' : '#dee2e6',
    time,
    zone: zoneText(),
    onRange,
  }
}

function drawRange(u: UPlot, series: readonly Series[], from: number, to: number): void {
  const columns = Math.max(50, Math.min(1200, Math.round(u.bbox.width / devicePixelRatio / 1.5)))
  const data: UPlot.AlignedData = [
    columnTimes(from, to, columns),
    ...series.map((s) => {
      const out: (number | null)[] = []
      s.envelope(from, to, columns, out)
      return out
    }),
  ]
  u.batch(() => {
    u.setData(data, false)
    u.setScale('x', { min: from, max: to })
  })
}

function keyRange(e: KeyboardEvent, [from, to]: Range, onRange: (r: Range | undefined) => void) {
  const span = to - from
  const moves: Record<string, Range | undefined> = {
    ArrowLeft: [from - span / 10, to - span / 10],
    ArrowRight: [from + span / 10, to + span / 10],
    '+': [from + span / 4, to - span / 4],
    '-': [from - span / 2, to + span / 2],
    '0': undefined,
  }
  if (!(e.key in moves) || e.ctrlKey || e.metaKey) return
  e.preventDefault()
  e.stopPropagation()
  onRange(moves[e.key])
}
