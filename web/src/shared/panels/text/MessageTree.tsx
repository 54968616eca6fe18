import { useState, type ReactNode } from 'react'

import { isTime, join, toNumber } from '../paths'
import classes from './MessageTree.module.css'

/** Items of an array or object that are shown before one asks for more. */
const STEP = 50
const OPEN_DEPTH = 2

interface TreeProps {
  value: unknown
  /** puts something behind a field that can be drawn */
  action?: ((path: string) => ReactNode) | undefined
  labels: { more: (n: number) => string }
}

/** A decoded message, foldable; every field by its name. */
export function MessageTree({ value, action, labels }: TreeProps) {
  return (
    <ul className={classes.tree} role="tree">
      <Children value={value} path="" depth={0} action={action} labels={labels} />
    </ul>
  )
}

type Entry = readonly [string | number, unknown]

function entriesOf(value: unknown): Entry[] {
  if (Array.isArray(value)) return value.map((v, i) => [i, v])
  return Object.entries((value ?? {}) as Record<string, unknown>)
}

function Children({ value, path, depth, action, labels }: TreeProps & { path: string; depth: number }) {
  const [shown, setShown] = useState(STEP)
  const entries = entriesOf(value)
  return (
    <>
      {entries.slice(0, shown).map(([key, v]) => (
        <Node
          key={key}
          name={String(key)}
          value={v}
          path={join(path, key)}
          depth={depth}
          action={action}
          labels={labels}
        />
      ))}
      {entries.length > shown && (
        <li role="none">
          <button type="button" className={classes.more} onClick={() => setShown(shown + STEP * 4)}>
            {labels.more(entries.length - shown)}
          </button>
        </li>
      )}
    </>
  )
}

function Node(p: TreeProps & { name: string; path: string; depth: number }) {
  const inner = p.value !== null && typeof p.value === 'object' && !isTime(p.value)
  const long = Array.isArray(p.value) && p.value.length > 16
  const [open, setOpen] = useState(p.depth < OPEN_DEPTH && !long)
  if (!inner) return <Leaf {...p} />
  const size = Array.isArray(p.value) ? `[${p.value.length}]` : ''
  return (
    <li role="treeitem" aria-expanded={open}>
      <button type="button" className={classes.fold} onClick={() => setOpen(!open)}>
        <span aria-hidden="true">{open ? '▾' : '▸'}</span> {p.name}{' '}
        <span className={classes.dim}>{size}</span>
      </button>
      {open && (
        <ul role="group" className={classes.group}>
          <Children
            value={p.value}
            path={p.path}
            depth={p.depth + 1}
            action={p.action}
            labels={p.labels}
          />
        </ul>
      )}
    </li>
  )
}

function Leaf({ name, value, path, action }: TreeProps & { name: string; path: string }) {
  return (
    <li role="treeitem" className={classes.leaf}>
      <span className={classes.dim}>{name}</span>
      <span className={classes.value}>{leafText(value)}</span>
      {action && toNumber(value) !== undefined && action(path)}
    </li>
  )
}

function leafText(value: unknown): string {
  if (value === null || value === undefined) return '–'
  if (isTime(value)) return `${value.sec}.${String(value.nanosec).padStart(9, '0')}`
  const text = String(value)
  return text.length > 2000 ? `${text.slice(0, 2000)}…` : text
}
