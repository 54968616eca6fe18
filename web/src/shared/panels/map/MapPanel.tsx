import { useComputedColorScheme } from '@mantine/core'
import { useEffect, useMemo, useRef, type KeyboardEvent } from 'react'

import { useT } from '../../../i18n'
import { runTimeConfig } from '../../api/base'
import { useFrames, useHistory, useMessages, useSize } from '../hooks'
import { textOf } from '../layout'
import type { PanelProps } from '../panel'
import { PanelNote } from '../PanelNote'
import { useLatest } from '../hooks'
import { drawMap } from './draw'
import { fixOf, Track } from './track'
import type { View } from './mercator'

/** Seconds of the way behind the place that was sought, in a replay. */
const PAST_S = 600

/** Where a robot has been by its GPS: on a plain grid, or on tiles that the operator configured. */
export function MapPanel({ source, config }: PanelProps) {
  const t = useT('panels')
  const topic = textOf(config, 'topic')
  const track = useMemo(() => new Track(), [topic])
  const latest = useLatest(source, topic, 1)
  useMessages(
    source,
    topic === '' ? [] : [topic],
    (m) => {
      const fix = fixOf(m.value)
      if (fix) track.push(fix)
    },
    5,
  )
  useHistory(source, topic === '' ? [] : [topic], PAST_S, (older) =>
    track.prepend(older.flatMap((m) => fixOf(m.value) ?? [])),
  )
  useEffect(() => source.onReset(() => track.clear()), [source, track])
  if (topic === '') return <PanelNote title={t('noTopic')} hint={t('noTopicHint')} />
  if (!latest) return <PanelNote title={t('noData')} hint={t('noDataHint')} />
  if (track.length === 0 && !fixOf(latest.value)) {
    return <PanelNote title={t('noFix')} hint={latest.why ?? t('noFixHint')} />
  }
  return <MapView track={track} label={topic} />
}

function MapView({ track, label }: { track: Track; label: string }) {
  const t = useT('panels')
  const dark = useComputedColorScheme('light') === 'dark'
  const [box, size] = useSize<HTMLDivElement>()
  const canvas = useRef<HTMLCanvasElement>(null)
  // Metres beside the robot, and metres of one pixel.
  const view = useRef<View>({ dx: 0, dy: 0, perPixel: 0.1 })
  const drawn = useRef(0)
  const grip = useRef<{ x: number; y: number } | undefined>(undefined)
  useFrames(() => {
    if (!canvas.current || performance.now() - drawn.current < 100) return
    drawn.current = performance.now()
    drawMap(canvas.current, size, track, view.current, dark, runTimeConfig().map_tiles ?? '')
  })
  const zoom = (by: number) => {
    view.current.perPixel = Math.min(1000, Math.max(0.002, view.current.perPixel * by))
  }
  const keys = (e: KeyboardEvent) => {
    const step = 40 * view.current.perPixel
    const moves: Record<string, () => void> = {
      ArrowLeft: () => void (view.current.dx -= step),
      ArrowRight: () => void (view.current.dx += step),
      ArrowUp: () => void (view.current.dy += step),
      ArrowDown: () => void (view.current.dy -= step),
      '+': () => zoom(0.8),
      '-': () => zoom(1.25),
      '0': () => void (view.current = { ...view.current, dx: 0, dy: 0 }),
    }
    const move = moves[e.key]
    if (!move) return
    e.preventDefault()
    e.stopPropagation()
    move()
  }
  return (
    <div
      ref={box}
      style={{ width: '100%', height: '100%', overflow: 'hidden', touchAction: 'none' }}
      tabIndex={0}
      role="group"
      aria-label={t('mapHelp')}
      onKeyDown={keys}
      onWheel={(e) => zoom(e.deltaY > 0 ? 1.15 : 1 / 1.15)}
      onPointerDown={(e) => {
        e.currentTarget.setPointerCapture(e.pointerId)
        grip.current = { x: e.clientX, y: e.clientY }
      }}
      onPointerMove={(e) => {
        if (!grip.current) return
        view.current.dx -= (e.clientX - grip.current.x) * view.current.perPixel
        view.current.dy += (e.clientY - grip.current.y) * view.current.perPixel
        grip.current = { x: e.clientX, y: e.clientY }
      }}
      onPointerUp={() => (grip.current = undefined)}
      onPointerCancel={() => (grip.current = undefined)}
    >
      <canvas ref={canvas} role="img" aria-label={label} />
    </div>
  )
}
