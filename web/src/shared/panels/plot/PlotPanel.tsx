import { useComputedColorScheme } from '@mantine/core'
import { useEffect, useMemo, useRef, useState } from 'react'

import { useT } from '../../../i18n'
import { fieldName, fieldsOf, type Field } from '../fields'
import { useFrames, useHistory, useMessages } from '../hooks'
import { numberOf, textOf } from '../layout'
import type { PanelProps } from '../panel'
import { PanelNote } from '../PanelNote'
import { numberAt } from '../paths'
import { Series } from '../series'
import type { PanelMessage, PanelSource } from '../source'
import { Chart, type ChartView } from './Chart'

const SAMPLE_HZ = 50
/** Seconds kept beyond the window, for going back. */
const KEEP_S = 600

/** Numeric fields over time. */
export function PlotPanel({ source, config }: PanelProps) {
  const t = useT('panels')
  const fields = fieldsOf(config)
  const key = fields.map(fieldName).join('\n')
  const clock = textOf(config, 'clock') === 'stamp' ? 'stamp' : 'recv'
  const series = useMemo(() => fields.map(() => new Series()), [key, clock])
  const window = numberOf(config, 'window', 30)
  useCollect(source, fields, series, clock, window)
  if (fields.length === 0) return <PanelNote title={t('noFields')} hint={t('noFieldsHint')} />
  return <PlotView source={source} fields={fields} series={series} window={window} />
}

function useCollect(
  source: PanelSource,
  fields: readonly Field[],
  series: readonly Series[],
  clock: 'recv' | 'stamp',
  window: number,
) {
  const topics = [...new Set(fields.map((f) => f.topic))]
  const timeOf = (m: PanelMessage) => {
    const ns = clock === 'stamp' ? (m.stampNs ?? m.recvNs) : m.recvNs
    return Number(ns / 1000n) / 1e6
  }
  const take = (m: PanelMessage) => {
    const time = timeOf(m)
    fields.forEach((f, i) => {
      if (f.topic !== m.topic) return
      const value = numberAt(m.value, f.path)
      if (value !== undefined) series[i]?.push(time, value)
    })
  }
  const takeOlder = (older: readonly PanelMessage[]) => {
    fields.forEach((f, i) => {
      const mine = older.filter((m) => m.topic === f.topic)
      const known = mine.flatMap((m) => {
        const value = numberAt(m.value, f.path)
        return value === undefined ? [] : { time: timeOf(m), value }
      })
      series[i]?.prepend(
        known.map((k) => k.time),
        known.map((k) => k.value),
      )
    })
  }
  useMessages(source, topics, take, SAMPLE_HZ)
  useHistory(source, topics, window, takeOlder)
  useEffect(() => source.onReset(() => series.forEach((s) => s.clear())), [source, series])
}

function PlotView({
  source,
  fields,
  series,
  window,
}: {
  source: PanelSource
  fields: readonly Field[]
  series: readonly Series[]
  window: number
}) {
  const t = useT('panels')
  const dark = useComputedColorScheme('light') === 'dark'
  const [held, setHeld] = useState<readonly [number, number] | undefined>()
  const view = useRef<ChartView | null>(null)
  const drawn = useRef(0)
  useFrames(() => {
    const at = performance.now()
    if (at - drawn.current < 50 || !view.current) return
    drawn.current = at
    const now = Number(source.now() / 1000n) / 1e6
    for (const s of series) s.trim(now - window - KEEP_S)
    const [from, to] = held ?? [now - window, now]
    view.current.draw(from, to)
  })
  const names = fields.map(fieldName)
  return (
    <Chart
      ref={view}
      key={`${names.join('\n')}${dark}`}
      names={names}
      series={series}
      dark={dark}
      held={held !== undefined}
      onRange={setHeld}
      labels={{ follow: t('followNow'), help: t('plotHelp') }}
    />
  )
}
