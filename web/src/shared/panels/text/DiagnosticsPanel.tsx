import { useEffect, useRef, useState } from 'react'

import { useT } from '../../../i18n'
import { useHistory, useMessages } from '../hooks'
import { textOf } from '../layout'
import type { PanelProps } from '../panel'
import { PanelNote } from '../PanelNote'
import classes from './text.module.css'

const MAX_STATUS = 500

/** diagnostic_msgs/msg/DiagnosticStatus: 0 ok, 1 warn, 2 error, 3 stale. */
const words = [
  { key: 'ok', icon: '✔' },
  { key: 'warn', icon: '⚠' },
  { key: 'error', icon: '✖' },
  { key: 'stale', icon: '◌' },
] as const

interface Status {
  name: string
  level: number
  text: string
  values: string
}

function statusesOf(value: unknown): Status[] {
  const list = (value as { status?: unknown } | null)?.status
  if (!Array.isArray(list)) return []
  return list.slice(0, MAX_STATUS).map((raw) => {
    const s = (raw ?? {}) as Record<string, unknown>
    const values = Array.isArray(s.values) ? (s.values as { key?: unknown; value?: unknown }[]) : []
    return {
      name: String(s.name ?? ''),
      level: Number(s.level) || 0,
      text: String(s.message ?? ''),
      values: values
        .slice(0, 50)
        .map((v) => `${String(v.key)} ${String(v.value)}`)
        .join(', '),
    }
  })
}

/** Seconds before the place that was sought, in a replay. */
const PAST_S = 10

/** What every part of the robot says of itself, the worst first. */
export function DiagnosticsPanel({ source, config }: PanelProps) {
  const t = useT('panels')
  const topic = textOf(config, 'topic') || '/diagnostics'
  const kept = useRef(new Map<string, Status>())
  const [rows, setRows] = useState<readonly Status[]>([])
  useMessages(
    source,
    [topic],
    (m) => {
      for (const s of statusesOf(m.value)) {
        if (kept.current.size < MAX_STATUS || kept.current.has(s.name)) kept.current.set(s.name, s)
      }
      setRows([...kept.current.values()].sort(worstFirst))
    },
    5,
  )
  // Parts tell of themselves in messages of their own: the last message is not all of them.
  useHistory(source, [topic], PAST_S, (older) => {
    const told = new Map(older.flatMap((m) => statusesOf(m.value)).map((s) => [s.name, s]))
    for (const [name, s] of told) {
      if (kept.current.size < MAX_STATUS && !kept.current.has(name)) kept.current.set(name, s)
    }
    setRows([...kept.current.values()].sort(worstFirst))
  })
  useEffect(
    () =>
      source.onReset(() => {
        kept.current.clear()
        setRows([])
      }),
    [source],
  )
  if (rows.length === 0) return <PanelNote title={t('noData')} hint={t('noDataHint')} />
  return (
    <div className={classes.scroll} tabIndex={0} role="region" aria-label={topic}>
      <table className={classes.table}>
        <thead>
          <tr>
            <th scope="col">{t('state')}</th>
            <th scope="col">{t('part')}</th>
            <th scope="col">{t('says')}</th>
            <th scope="col">{t('values')}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((s) => (
            <StatusRow key={s.name} status={s} />
          ))}
        </tbody>
      </table>
    </div>
  )
}

function StatusRow({ status }: { status: Status }) {
  const t = useT('panels')
  const word = words[status.level] ?? words[3]
  return (
    <tr>
      <td>
        <span aria-hidden="true">{word.icon}</span> {t(`diagnostic.${word.key}`)}
      </td>
      <td>{status.name}</td>
      <td>{status.text}</td>
      <td>{status.values}</td>
    </tr>
  )
}

function worstFirst(a: Status, b: Status): number {
  return b.level - a.level || (a.name < b.name ? -1 : 1)
}
