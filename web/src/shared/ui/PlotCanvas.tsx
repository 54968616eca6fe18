import { useEffect, useMemo, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'

import { type Settings, useSettings } from '../settings'
import { formatTick, zoneName } from '../time'
import type { PlotProps, PlotSeries } from './Plot'
import { alignSeries } from './plot-data'
import { type Colors, useColors } from './theme'

type Table = uPlot.AlignedData
type ZoneSettings = Pick<Settings, 'zone' | 'robotOffsetMin'>

function tableOf(series: PlotSeries[]): Table {
  return alignSeries(
    series.flatMap((s) => {
      const edges =
        s.min && s.max
          ? [
              { x: s.x, y: s.min },
              { x: s.x, y: s.max },
            ]
          : []
      return [{ x: s.x, y: s.y }, ...edges]
    }),
  ) as Table
}

/** The time at the cursor, to the millisecond; the zone stands before it. */
function timeSeries({ zone, robotOffsetMin }: ZoneSettings): uPlot.Series {
  return {
    label: zoneName(Date.now(), zone, robotOffsetMin),
    value: (_u, s) => (s === null ? '–' : formatTick(s * 1e3, 0, zone, robotOffsetMin)),
  }
}

function look(
  props: PlotProps,
  colors: Colors,
  zone: ZoneSettings,
): Pick<uPlot.Options, 'series' | 'bands'> {
  const series: uPlot.Series[] = [props.time === false ? {} : timeSeries(zone)]
  const bands: uPlot.Band[] = []
  props.series.forEach((s, i) => {
    const stroke = s.color ?? colors.series[i % colors.series.length] ?? colors.text
    const dash = s.dash ?? (i >= colors.series.length ? [6, 4] : undefined)
    series.push({
      label: s.unit ? `${s.label} (${s.unit})` : s.label,
      stroke,
      width: 1.5,
      spanGaps: false,
      points: { show: false },
      value: (_u, v) => (v === null ? '–' : (props.format?.(v) ?? String(v))),
      ...(dash ? { dash } : {}),
    })
    if (!s.min || !s.max) return
    // no line of their own in the legend: the class hides it
    const edge = { stroke: `${stroke}66`, width: 1, points: { show: false }, class: 'bp-edge' }
    series.push({ ...edge }, { ...edge })
    bands.push({ series: [series.length - 1, series.length - 2], fill: `${stroke}33` })
  })
  return { series, bands }
}

/** uPlot counts in the fields of a local Date: one that shows what a clock of the zone shows. */
function zoned(seconds: number, { zone, robotOffsetMin }: ZoneSettings): Date {
  const at = new Date(seconds * 1e3)
  if (zone === 'utc') return uPlot.tzDate(at, 'Etc/UTC')
  if (zone === 'robot') return uPlot.tzDate(new Date(+at + robotOffsetMin * 60_000), 'Etc/UTC')
  return at
}

/** Times of day in 24 hours, below them the zone. */
function timeAxis({ zone, robotOffsetMin }: ZoneSettings): uPlot.Axis {
  return {
    size: 30,
    space: 90,
    values: (_u, ticks, _axis, _space, step) =>
      ticks.map((s) => formatTick(s * 1e3, step, zone, robotOffsetMin)),
    label: (u) => zoneName((u.scales.x?.max ?? 0) * 1e3, zone, robotOffsetMin),
    labelSize: 14,
    labelFont: '11px system-ui, sans-serif',
    labelGap: 0,
  }
}

/** The same text stands once: ticks may be finer than the format. */
function once(texts: string[]): string[] {
  return texts.map((text, i) => (text === texts[i - 1] ? '' : text))
}

function axes(props: PlotProps, colors: Colors, zone: ZoneSettings): uPlot.Axis[] {
  const line = { stroke: colors.grid, width: 1 }
  const base = { stroke: colors.axis, grid: line, ticks: line }
  const { format } = props
  return [
    { ...base, ...(props.time === false ? {} : timeAxis(zone)) },
    {
      ...base,
      size: 64,
      ...(format ? { values: (_u, vs) => once(vs.map((v) => format(v))) } : {}),
    },
  ]
}

export default function PlotCanvas(props: PlotProps) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const colors = useColors()
  const { zone, robotOffsetMin } = useSettings()
  const latest = useRef(props)
  latest.current = props
  const shape = useMemo(
    () =>
      JSON.stringify([
        props.series.map((s) => [s.label, s.unit, s.color, s.min !== undefined]),
        props.cursor,
        props.time,
      ]),
    [props.series, props.cursor, props.time],
  )

  useEffect(() => {
    const el = box.current
    if (!el) return
    const p = latest.current
    const u = new uPlot(
      {
        width: el.clientWidth || 300,
        height: p.height,
        legend: { show: p.series.length > 1 || p.cursor !== undefined, live: true },
        cursor: p.cursor ? { sync: { key: p.cursor }, drag: { x: true, y: false } } : {},
        scales: {
          x: { time: p.time ?? true },
          ...(p.zero ? { y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.1 : 1] } } : {}),
        },
        axes: axes(p, colors, { zone, robotOffsetMin }),
        tzDate: (s) => zoned(s, { zone, robotOffsetMin }),
        hooks: {
          setSelect: [
            (self) => {
              if (self.select.width < 4) return
              const from = self.posToVal(self.select.left, 'x')
              const to = self.posToVal(self.select.left + self.select.width, 'x')
              latest.current.onZoom?.(from, to)
            },
          ],
        },
        ...look(p, colors, { zone, robotOffsetMin }),
      },
      tableOf(p.series),
      el,
    )
    plot.current = u
    const fit = () => {
      const width = el.clientWidth || 300
      u.setSize({ width, height: u.height }) // the legend wraps by the width
      const legend = el.querySelector('.u-legend')?.clientHeight ?? 0
      u.setSize({ width, height: Math.max(60, latest.current.height - legend) })
    }
    const observer = new ResizeObserver(fit)
    observer.observe(el)
    fit()
    return () => {
      observer.disconnect()
      u.destroy()
      plot.current = null
    }
  }, [shape, colors, zone, robotOffsetMin])

  useEffect(() => {
    plot.current?.setData(tableOf(props.series), props.range === undefined)
    if (props.range) plot.current?.setScale('x', { min: props.range[0], max: props.range[1] })
  }, [props.series, props.range])

  return <div ref={box} className="bp-plot" />
}
