import { useEffect, useRef } from 'react'

import { useColors } from './theme'

interface HeatProps {
  /** 0 to 1 per column; negative: nothing is known, drawn as a gap */
  values: ArrayLike<number>
  height?: number
  /** columns to mark as lossy */
  bad?: ReadonlySet<number>
  label: string
}

/** A strip of columns, brighter where more came. */
export function Heat({ values, height = 20, bad, label }: HeatProps) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const colors = useColors()
  useEffect(() => {
    const el = canvas.current
    const g = el?.getContext('2d')
    if (!el || !g) return
    const draw = () => {
      const scale = window.devicePixelRatio || 1
      el.width = Math.max(1, Math.round(el.clientWidth * scale))
      el.height = Math.max(1, Math.round(height * scale))
      g.clearRect(0, 0, el.width, el.height)
      const step = el.width / Math.max(1, values.length)
      for (let i = 0; i < values.length; i++) {
        const v = values[i] ?? -1
        if (v < 0) continue
        g.globalAlpha = 0.12 + 0.88 * Math.min(1, v)
        g.fillStyle = bad?.has(i) ? colors.bad : (colors.series[0] ?? colors.text)
        // On whole pixels: edges between would be lighter than the columns.
        const x = Math.round(i * step)
        g.fillRect(x, 0, Math.max(1, Math.round((i + 1) * step) - x), el.height)
      }
      g.globalAlpha = 1
    }
    draw()
    const observer = new ResizeObserver(draw)
    observer.observe(el)
    return () => observer.disconnect()
  }, [values, height, bad, colors])
  return (
    <canvas ref={canvas} className="bp-heat" style={{ height }} role="img" aria-label={label} />
  )
}
