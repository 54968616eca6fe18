import { useEffect, useRef } from 'react'

import { useT } from '../../i18n'
import { HISTORY, type History, type TopicStore } from './store'

const WIDTH = 560
const HEIGHT = 90

/** Messages a second of the last minutes, since the page was opened. */
export function RateHistory({ store, name }: { store: TopicStore; name: string }) {
  const t = useT('topics')
  const canvas = useRef<HTMLCanvasElement>(null)
  useEffect(() => {
    const draw = () => {
      const h = store.history(name)
      if (canvas.current && h) drawRates(canvas.current, h)
    }
    draw()
    return store.watchRow(name, draw)
  }, [store, name])
  return (
    <canvas
      ref={canvas}
      width={WIDTH * 2}
      height={HEIGHT * 2}
      style={{ width: '100%', height: HEIGHT }}
      role="img"
      aria-label={t('ratesOf', { name: name.split(' ')[0] })}
    />
  )
}

function drawRates(canvas: HTMLCanvasElement, h: History): void {
  const c = canvas.getContext('2d')
  if (!c) return
  const style = getComputedStyle(canvas)
  c.setTransform(2, 0, 0, 2, 0, 0)
  c.clearRect(0, 0, WIDTH, HEIGHT)
  const n = Math.min(h.count, HISTORY)
  const at = (i: number) => h.hz[(h.count - n + i) % HISTORY] ?? NaN
  let top = 0
  for (let i = 0; i < n; i++) if (at(i) > top) top = at(i)
  const scale = top > 0 ? (HEIGHT - 24) / (top * 1.1) : 1
  c.strokeStyle = c.fillStyle = style.color
  c.lineWidth = 1.5
  c.beginPath()
  let pen = false
  for (let i = 0; i < n; i++) {
    const x = WIDTH - ((n - 1 - i) * WIDTH) / (HISTORY - 1)
    const v = at(i)
    if (Number.isNaN(v)) pen = false
    else if (pen) c.lineTo(x, HEIGHT - 4 - v * scale)
    else c.moveTo(x, HEIGHT - 4 - v * scale)
    pen = !Number.isNaN(v)
  }
  c.stroke()
  c.font = '12px system-ui, sans-serif'
  c.fillText(`max ${top.toFixed(1)} Hz`, 4, 12)
}
