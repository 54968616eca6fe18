import { useComputedColorScheme } from '@mantine/core'
import { useEffect, useMemo, useRef } from 'react'

import { useT } from '../../../i18n'
import { fieldsOf } from '../fields'
import { useFrames, useHistory, useMessages, useSize } from '../hooks'
import { numberOf } from '../layout'
import type { PanelProps } from '../panel'
import { PanelNote } from '../PanelNote'
import { valueAt } from '../paths'
import { seriesColor } from './colors'
import { States } from './states'

/** Which value a field had when: mode, error code, true or false. */
export function StatesPanel({ source, config }: PanelProps) {
  const t = useT('panels')
  const field = fieldsOf({ fields: [config.field] })[0]
  const key = field ? `${field.topic} ${field.path}` : ''
  const states = useMemo(() => new States(), [key])
  const window = numberOf(config, 'window', 60)
  const dark = useComputedColorScheme('light') === 'dark'
  const [box, size] = useSize<HTMLDivElement>()
  const canvas = useRef<HTMLCanvasElement>(null)
  const drawn = useRef(0)
  useMessages(
    source,
    field ? [field.topic] : [],
    (m) => {
      const value = field ? valueAt(m.value, field.path) : undefined
      if (value === undefined || value === null) return
      states.push(Number(m.recvNs / 1_000_000n) / 1000, String(value).slice(0, 60))
    },
    20,
  )
  useHistory(source, field ? [field.topic] : [], window, (older) => {
    const known = older.flatMap((m) => {
      const value = field ? valueAt(m.value, field.path) : undefined
      if (value === undefined || value === null) return []
      return { time: Number(m.recvNs / 1_000_000n) / 1000, value: String(value).slice(0, 60) }
    })
    states.prepend(known)
  })
  useEffect(() => source.onReset(() => states.clear()), [source, states])
  useFrames(() => {
    if (!canvas.current || performance.now() - drawn.current < 100) return
    drawn.current = performance.now()
    const now = Number(source.now() / 1_000_000n) / 1000
    drawStates(canvas.current, size, states, now - window, now, dark)
  })
  if (!field) return <PanelNote title={t('noFields')} hint={t('noFieldsHint')} />
  return (
    <div ref={box} style={{ width: '100%', height: '100%', overflow: 'hidden' }}>
      <canvas ref={canvas} role="img" aria-label={key} />
    </div>
  )
}

function drawStates(
  canvas: HTMLCanvasElement,
  { width, height }: { width: number; height: number },
  states: States,
  from: number,
  to: number,
  dark: boolean,
): void {
  const ratio = devicePixelRatio
  if (canvas.width !== width * ratio || canvas.height !== height * ratio) {
    canvas.width = width * ratio
    canvas.height = height * ratio
    canvas.style.width = `${width}px`
    canvas.style.height = `${height}px`
  }
  const c = canvas.getContext('2d')
  if (!c || width === 0) return
  c.setTransform(ratio, 0, 0, ratio, 0, 0)
  c.clearRect(0, 0, width, height)
  c.font = '12px system-ui, sans-serif'
  c.textBaseline = 'middle'
  const x = (time: number) => ((time - from) / (to - from)) * width
  for (const s of states.between(from, to)) {
    const left = Math.max(0, x(s.from))
    const wide = Math.max(1, x(s.to) - left)
    c.fillStyle = seriesColor(states.indexOf(s.value), dark)
    c.fillRect(left, 6, wide, height - 12)
    if (wide < 24) continue
    c.fillStyle = dark ? '#000' : '#fff'
    c.fillText(s.value, left + 5, height / 2, wide - 8)
  }
}
