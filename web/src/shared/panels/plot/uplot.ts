import UPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'

export interface Line {
  label: string
  color: string
  dash: number[]
}

export interface PlotOptions {
  lines: readonly Line[]
  ink: string
  grid: string
  time: (seconds: number) => string
  /** name of the zone of those times */
  zone: string
  /** somebody zoomed or moved the times that are shown */
  onRange: (range: readonly [number, number]) => void
}

/** Plots with this key share their cursor. */
const SYNC = 'panels'

export function makePlot(host: HTMLElement, o: PlotOptions): UPlot {
  const axis = { stroke: o.ink, grid: { stroke: o.grid, width: 1 }, ticks: { stroke: o.grid } }
  const u = new UPlot(
    {
      width: 300,
      height: 150,
      cursor: {
        sync: { key: SYNC, scales: ['x', null] },
        drag: { x: true, y: false, setScale: false },
      },
      scales: { x: { time: true, auto: false } },
      axes: [
        { ...axis, values: (_u, ticks) => ticks.map((s) => o.time(s).slice(0, 8)) },
        { ...axis, size: 64, values: (_u, ticks) => ticks.map(short) },
      ],
      series: [
        { label: o.zone, value: (_u, s) => (s === null ? '–' : o.time(s)) },
        ...o.lines.map((l) => ({
          label: l.label,
          stroke: l.color,
          dash: l.dash,
          width: 1.5,
          spanGaps: true,
          points: { show: false },
          value: (_u: UPlot, v: number | null) => (v === null ? '–' : short(v)),
        })),
      ],
      hooks: { setSelect: [(p) => select(p, o)] },
    },
    undefined,
    host,
  )
  watchPointer(u, o)
  u.root.querySelector('.u-legend')?.setAttribute('tabindex', '0') // many lines scroll, by keys, too
  return u
}

function short(v: number): string {
  const a = Math.abs(v)
  if (a !== 0 && (a >= 1e7 || a < 1e-4)) return v.toExponential(2)
  return String(Number(v.toPrecision(6)))
}

function select(u: UPlot, o: PlotOptions): void {
  if (u.select.width < 4) return
  o.onRange([u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x')])
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
}

/** Wheel zooms about the pointer (with Ctrl, so that the page still scrolls); shift and drag moves. */
function watchPointer(u: UPlot, o: PlotOptions): void {
  const range = (): [number, number] => [u.scales.x?.min ?? 0, u.scales.x?.max ?? 1]
  u.over.addEventListener(
    'wheel',
    (e) => {
      if (!e.ctrlKey) return
      e.preventDefault()
      const at = u.posToVal(e.offsetX, 'x')
      const [from, to] = range()
      const by = e.deltaY > 0 ? 1.25 : 0.8
      o.onRange([at - (at - from) * by, at + (to - at) * by])
    },
    { passive: false },
  )
  u.over.addEventListener(
    'mousedown',
    (e) => {
      if (!e.shiftKey) return
      e.stopImmediatePropagation()
      const [from, to] = range()
      const perPixel = (to - from) / u.over.clientWidth
      const move = (m: MouseEvent) => {
        const by = (e.clientX - m.clientX) * perPixel
        o.onRange([from + by, to + by])
      }
      document.addEventListener('mousemove', move)
      document.addEventListener('mouseup', () => document.removeEventListener('mousemove', move), {
        once: true,
      })
    },
    { capture: true },
  )
}
