import { useVirtualizer } from '@tanstack/react-virtual'
import { useRef, useState, type KeyboardEvent, type ReactNode } from 'react'

import { Icon } from './icons'

export interface Column<T> {
  id: string
  title: ReactNode
  /** a track of CSS grid: '120px', 'minmax(120px, 2fr)' */
  width: string
  align?: 'left' | 'right'
  render: (row: T) => ReactNode
  sortable?: boolean
}

export interface Sort {
  by: string
  down: boolean
}

interface VirtualTableProps<T> {
  columns: Column<T>[]
  rows: readonly T[]
  rowKey: (row: T) => string
  label?: string
  sort?: { value: Sort; onChange: (sort: Sort) => void }
  onRow?: (row: T) => void
  selected?: string
  height: number | string
  rowHeight?: number
}

/** A table that keeps only visible rows in the page; sorting is the caller's. */
export function VirtualTable<T>(props: VirtualTableProps<T>) {
  const { columns, rows, rowKey, height, rowHeight = 36, selected } = props
  const scroller = useRef<HTMLDivElement>(null)
  const [active, setActive] = useState<string | undefined>()
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 8,
    getItemKey: (i) => (rows[i] === undefined ? i : rowKey(rows[i])),
  })
  const items = virtual.getVirtualItems()
  const stop = tabStop(items, active, virtual.scrollOffset ?? 0)
  const tracks = columns.map((c) => c.width).join(' ')
  // Head and rows are grids of their own: only with the same width do their columns agree.
  const minWidth = widthOf(columns)
  return (
    <div
      ref={scroller}
      className="bp-table"
      style={{ height }}
      role="table"
      aria-label={props.label}
      aria-rowcount={rows.length + 1}
      tabIndex={0}
    >
      <Head {...props} tracks={tracks} minWidth={minWidth} />
      <div
        role="rowgroup"
        className="bp-tbody"
        style={{ height: virtual.getTotalSize(), minWidth }}
      >
        {items.map((item) => {
          const row = rows[item.index]
          if (row === undefined) return null
          return (
            <Row
              key={item.key}
              {...props}
              row={row}
              index={item.index}
              top={item.start}
              rowHeight={rowHeight}
              tracks={tracks}
              chosen={selected !== undefined && selected === rowKey(row)}
              stop={item.key === stop}
              onActive={setActive}
            />
          )
        })}
      </div>
    </div>
  )
}

/** The one row that Tab stops at: the last that had the focus, else the first in sight. */
function tabStop(
  items: readonly { key: unknown; start: number }[],
  active: string | undefined,
  offset: number,
): unknown {
  if (items.some((i) => i.key === active)) return active
  return (items.find((i) => i.start >= offset) ?? items[0])?.key
}

/** Pixels that the columns need at least: '120px' is 120, 'minmax(220px, 3fr)' 220. */
function widthOf(columns: readonly { width: string }[]): number {
  return columns.reduce((sum, c) => sum + Number(/(\d+)px/.exec(c.width)?.[1] ?? 80), 0)
}

interface HeadProps<T> extends VirtualTableProps<T> {
  tracks: string
  minWidth: number
}

function Head<T>({ columns, sort, tracks, minWidth }: HeadProps<T>) {
  const state = (c: Column<T>) =>
    sort?.value.by !== c.id ? 'none' : sort.value.down ? 'descending' : 'ascending'
  return (
    <div role="rowgroup" className="bp-thead" style={{ minWidth }}>
      <div role="row" aria-rowindex={1} className="bp-tr" style={{ gridTemplateColumns: tracks }}>
        {columns.map((c) => (
          <div
            key={c.id}
            role="columnheader"
            className={c.align === 'right' ? 'bp-td bp-right' : 'bp-td'}
            aria-sort={c.sortable && sort ? state(c) : undefined}
          >
            {c.sortable && sort ? (
              <button
                type="button"
                className="bp-sort"
                onClick={() =>
                  sort.onChange({ by: c.id, down: sort.value.by === c.id && !sort.value.down })
                }
              >
                {c.title}
                {sort.value.by === c.id && (
                  <Icon name={sort.value.down ? 'down' : 'up'} size={12} />
                )}
              </button>
            ) : (
              c.title
            )}
          </div>
        ))}
      </div>
    </div>
  )
}

function focus(el: Element | null): void {
  if (el instanceof HTMLElement) el.focus()
}

interface RowProps<T> extends VirtualTableProps<T> {
  row: T
  index: number
  top: number
  rowHeight: number
  tracks: string
  chosen: boolean
  stop: boolean
  onActive: (key: string) => void
}

function Row<T>(props: RowProps<T>) {
  const { row, index, top, rowHeight, tracks, columns, onRow, chosen, stop } = props
  const key = (e: KeyboardEvent<HTMLElement>) => {
    if (e.target !== e.currentTarget) return
    const { nextElementSibling: next, previousElementSibling: previous } = e.currentTarget
    if (e.key === 'ArrowDown') focus(next)
    else if (e.key === 'ArrowUp') focus(previous)
    else if (e.key === 'Enter' || e.key === ' ') onRow?.(row)
    else return
    e.preventDefault()
  }
  const classes = ['bp-tr', onRow ? 'bp-click' : '', chosen ? 'bp-chosen' : '']
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      className={classes.filter(Boolean).join(' ')}
      style={{
        gridTemplateColumns: tracks,
        height: rowHeight,
        transform: `translateY(${top}px)`,
        position: 'absolute',
        left: 0,
        right: 0,
      }}
      tabIndex={onRow ? (stop ? 0 : -1) : undefined}
      onFocus={onRow ? () => props.onActive(props.rowKey(row)) : undefined}
      onClick={onRow ? () => onRow(row) : undefined}
      onKeyDown={onRow ? key : undefined}
    >
      {columns.map((c) => (
        <div key={c.id} role="cell" className={c.align === 'right' ? 'bp-td bp-right' : 'bp-td'}>
          {c.render(row)}
        </div>
      ))}
    </div>
  )
}
