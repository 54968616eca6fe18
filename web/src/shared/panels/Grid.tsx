import { useRef, useState, type KeyboardEvent, type PointerEvent, type ReactNode } from 'react'

import classes from './Grid.module.css'
import { useSize } from './hooks'
import { COLUMNS, fit, place, type Layout, type Panel, type Place } from './layout'

/** CSS pixels of one row, and between panels. */
const ROW = 44
const GAP = 8
/** Below this width panels stand one under the other, in the order of the grid. */
const NARROW = 700

type Edge = 'move' | 'size'

interface Drag {
  id: string
  edge: Edge
  from: Place
  x: number
  y: number
}

export interface Handle {
  onPointerDown: (e: PointerEvent<HTMLElement>) => void
  onKeyDown: (e: KeyboardEvent<HTMLElement>) => void
}

interface GridProps {
  layout: Layout
  onChange: (layout: Layout) => void
  /** Draws a panel; `handle` goes on the element by which it is moved. */
  children: (panel: Panel, handle: Handle | undefined) => ReactNode
  sizeLabel: string
}

/** Panels that are moved and sized by pointer, or by arrow keys on their handles. */
export function Grid({ layout, onChange, children, sizeLabel }: GridProps) {
  const [ref, { width }] = useSize<HTMLDivElement>()
  const [wish, setWish] = useState<Layout | undefined>()
  const drag = useRef<Drag | undefined>(undefined)
  const column = (width + GAP) / COLUMNS
  const shown = wish ?? layout
  const narrow = width > 0 && width < NARROW

  const start = (panel: Panel, edge: Edge) => (e: PointerEvent<HTMLElement>) => {
    if (e.button !== 0 || (e.target as HTMLElement).closest('button,input,a')) return
    e.preventDefault()
    ref.current?.setPointerCapture(e.pointerId)
    drag.current = { id: panel.id, edge, from: panel, x: e.clientX, y: e.clientY }
  }
  const move = (e: PointerEvent) => {
    const d = drag.current
    if (!d) return
    const dx = Math.round((e.clientX - d.x) / column)
    const dy = Math.round((e.clientY - d.y) / (ROW + GAP))
    setWish(place(layout, d.id, shifted(d.from, d.edge, dx, dy)))
  }
  const end = () => {
    if (drag.current && wish) onChange(wish)
    cancel()
  }
  const cancel = () => {
    drag.current = undefined
    setWish(undefined)
  }
  const keys = (panel: Panel, edge: Edge) => (e: KeyboardEvent<HTMLElement>) => {
    const by = arrows[e.key]
    if (!by || e.target !== e.currentTarget) return
    e.preventDefault()
    onChange(place(layout, panel.id, shifted(panel, e.shiftKey ? 'size' : edge, by[0], by[1])))
  }
  const handle = (p: Panel): Handle | undefined =>
    narrow ? undefined : { onPointerDown: start(p, 'move'), onKeyDown: keys(p, 'move') }

  const rows = Math.max(0, ...shown.panels.map((p) => p.y + p.h))
  const panels = narrow ? [...shown.panels].sort((a, b) => a.y - b.y || a.x - b.x) : shown.panels
  return (
    <div
      ref={ref}
      className={narrow ? classes.stack : classes.grid}
      style={narrow ? undefined : { height: rows * (ROW + GAP) }}
      onPointerMove={move}
      onPointerUp={end}
      onPointerCancel={cancel}
    >
      {width > 0 &&
        panels.map((p) => (
          <div
            key={p.id}
            className={classes.item}
            data-dragged={drag.current?.id === p.id || undefined}
            style={narrow ? { height: p.h * ROW } : box(p, column)}
          >
            {children(p, handle(p))}
            {!narrow && (
              <div
                className={classes.size}
                role="button"
                tabIndex={0}
                aria-label={sizeLabel}
                onPointerDown={start(p, 'size')}
                onKeyDown={keys(p, 'size')}
              />
            )}
          </div>
        ))}
    </div>
  )
}

const arrows: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
}

function shifted(p: Place, edge: Edge, dx: number, dy: number): Place {
  if (edge === 'move') return fit({ ...p, x: p.x + dx, y: p.y + dy })
  const w = Math.min(COLUMNS - p.x, Math.max(1, p.w + dx))
  return fit({ x: p.x, y: p.y, w, h: p.h + dy })
}

function box(p: Place, column: number) {
  return {
    left: p.x * column,
    top: p.y * (ROW + GAP),
    width: p.w * column - GAP,
    height: p.h * (ROW + GAP) - GAP,
  }
}
