import { useVirtualizer } from '@tanstack/react-virtual'
import { useRef, type KeyboardEvent, type ReactNode } from 'react'

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
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 8,
    getItemKey: (i) => (rows[i] === undefined ? i : rowKey(rows[i])),
  })
  const tracks = columns.map((c) => c.width).join(' ')
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
      <div role="presentation" className="bp-twidth">
        <Head {...props} tracks={tracks} />
        <div role="rowgroup" className="bp-tbody" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
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
              />
            )
          })}
        </div>
      </div>
    </div>
  )
}

function Head<T>({ columns, sort, tracks }: VirtualTableProps<T> & { tracks: string }) {
  const state = (c: Column<T>) =>
    sort?.value.by !== c.id ? 'none' : sort.value.down ? 'descending' : 'ascending'
  return (
    <div role="rowgroup" className="bp-thead">
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

interface RowProps<T> extends VirtualTableProps<T> {
  row: T
  index: number
  top: number
  rowHeight: number
  tracks: string
  chosen: boolean
}

function Row<T>({ row, index, top, rowHeight, tracks, columns, onRow, chosen }: RowProps<T>) {
  const key = (e: KeyboardEvent) => {
    if (e.target !== e.currentTarget || (e.key !== 'Enter' && e.key !== ' ')) return
    e.preventDefault()
    onRow?.(row)
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
      tabIndex={onRow ? 0 : undefined}
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
