import { lazy, Suspense } from 'react'

export interface PlotSeries {
  label: string
  /** seconds since 1970 or since the start, rising */
  x: ArrayLike<number>
  y: ArrayLike<number | null>
  /** lower and upper edge of an envelope with the same x */
  min?: ArrayLike<number | null>
  max?: ArrayLike<number | null>
  unit?: string
  color?: string
  dash?: number[]
}

export interface PlotProps {
  series: PlotSeries[]
  height: number
  /** seconds shown; without: all there is */
  range?: [number, number]
  /** a name: plots with the same share the cursor */
  cursor?: string
  onZoom?: (from: number, to: number) => void
  label?: string
  format?: (value: number) => string
  /** the axis below shows times of day (default) or plain seconds */
  time?: boolean
  /** the axis at the left begins at 0 */
  zero?: boolean
}

// uPlot weighs 22 kB gzip: only pages with plots pay for it.
const Canvas = lazy(() => import('./PlotCanvas'))

export function Plot(props: PlotProps) {
  return (
    <div style={{ height: props.height }} role="img" aria-label={props.label}>
      <Suspense fallback={null}>
        <Canvas {...props} />
      </Suspense>
    </div>
  )
}
