import { Select, TextInput } from '@mantine/core'
import { useEffect, useRef, useState } from 'react'

import { useT } from '../../../i18n'
import { getSettings } from '../../settings'
import { formatNs } from '../../time'
import { useHistory, useMessages } from '../hooks'
import { numberOf, textOf } from '../layout'
import type { PanelProps } from '../panel'
import { PanelNote } from '../PanelNote'
import type { PanelMessage } from '../source'
import classes from './text.module.css'

const KEPT = 1000
const SHOWN = 200
/** Seconds of lines before the place that was sought, in a replay. */
const PAST_S = 600

interface Line {
  id: number
  ns: bigint
  level: number
  name: string
  text: string
}

/** Levels of rcl_interfaces/msg/Log: 10 to 50. */
export const levels = [
  { level: 10, name: 'debug', icon: '·' },
  { level: 20, name: 'info', icon: 'ℹ' },
  { level: 30, name: 'warn', icon: '⚠' },
  { level: 40, name: 'error', icon: '✖' },
  { level: 50, name: 'fatal', icon: '☠' },
] as const

function levelOf(n: number) {
  return [...levels].reverse().find((l) => n >= l.level) ?? levels[0]
}

function lineOf(m: PanelMessage, id: number): Line {
  const v = (m.value ?? {}) as { level?: unknown; name?: unknown; msg?: unknown }
  return {
    id,
    ns: m.stampNs ?? m.recvNs,
    level: Number(v.level) || 0,
    name: String(v.name ?? ''),
    text: String(v.msg ?? m.why ?? ''),
  }
}

/** Lines that nodes log (/rosout). */
export function LogPanel({ source, config, onConfig }: PanelProps) {
  const t = useT('panels')
  const topic = textOf(config, 'topic') || '/rosout'
  const level = numberOf(config, 'level', 20)
  const [find, setFind] = useState('')
  const lines = useLines(source, topic)
  const needle = find.toLowerCase()
  const shown = lines
    .filter((l) => l.level >= level && `${l.name} ${l.text}`.toLowerCase().includes(needle))
    .slice(-SHOWN)
    .reverse()
  return (
    <div className={classes.column}>
      <div className={classes.bar}>
        <Select
          size="xs"
          aria-label={t('level')}
          value={String(level)}
          allowDeselect={false}
          data={levels.map((l) => ({ value: String(l.level), label: t(`levels.${l.name}`) }))}
          onChange={(v) => onConfig({ level: Number(v) })}
        />
        <TextInput
          size="xs"
          aria-label={t('find')}
          placeholder={t('find')}
          value={find}
          onChange={(e) => setFind(e.currentTarget.value)}
        />
      </div>
      {shown.length === 0 ? (
        <PanelNote title={t('noLines')} hint={t('noLinesHint', { topic })} />
      ) : (
        <div className={classes.lines} tabIndex={0} role="log" aria-live="off" aria-label={topic}>
          {shown.map((l) => (
            <LogLine key={l.id} line={l} />
          ))}
        </div>
      )}
    </div>
  )
}

function LogLine({ line }: { line: Line }) {
  const t = useT('panels')
  const { zone, robotOffsetMin } = getSettings()
  const l = levelOf(line.level)
  return (
    <div className={classes.line} data-level={l.name}>
      <span>{formatNs(line.ns, { zone, robotOffsetMin, date: false, showZone: false })}</span>
      <span>
        <span aria-hidden="true">{l.icon}</span> {t(`levels.${l.name}`)}
      </span>
      <span>{line.name}</span>
      <span>{line.text}</span>
    </div>
  )
}

// Lines come in bursts: they are gathered and shown once an animation frame.
function useLines(source: PanelProps['source'], topic: string): readonly Line[] {
  const [lines, setLines] = useState<readonly Line[]>([])
  const kept = useRef<Line[]>([])
  const queued = useRef(0)
  const count = useRef(0)
  const show = () => {
    if (queued.current !== 0) return
    queued.current = requestAnimationFrame(() => {
      queued.current = 0
      setLines([...kept.current])
    })
  }
  useMessages(
    source,
    [topic],
    (m) => {
      kept.current.push(lineOf(m, ++count.current))
      if (kept.current.length > KEPT) kept.current.splice(0, KEPT / 10)
      show()
    },
    100,
  )
  useHistory(source, [topic], PAST_S, (older) => {
    const first = kept.current[0]?.ns
    const before = older
      .map((m) => lineOf(m, ++count.current))
      .filter((l) => first === undefined || l.ns < first)
    kept.current = [...before, ...kept.current].slice(-KEPT)
    show()
  })
  useEffect(
    () =>
      source.onReset(() => {
        kept.current = []
        setLines([])
      }),
    [source],
  )
  useEffect(() => () => cancelAnimationFrame(queued.current), [])
  return lines
}
