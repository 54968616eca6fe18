import { useEffect, useRef, useState, type PointerEvent } from 'react'

import { useT } from '../../i18n'
import { formatDuration, useTimeFormat } from '../../shared/time'
import { Icon } from '../../shared/ui'
import type { Range } from './player'
import classes from './Scrubber.module.css'
import type { Mark } from './session'
import type { ReplaySource } from './source'
import { usePlayer } from './usePlayer'

function percent(part: number): string {
  return `${(part * 100).toFixed(3)}%`
}

function partOf(time: bigint, { from, to }: Range): number {
  return Number(time - from) / Number(to - from)
}

/** The time of the recording as a line: where it is, what has come, marks, and the part that is played. */
export function Scrubber({ source, marks }: { source: ReplaySource; marks: readonly Mark[] }) {
  const t = useT('replay')
  const { from, to } = source.player.grid
  const seconds = Number(to - from) / 1e9
  // A second is fine enough for who listens, and does not talk all the time.
  const second = usePlayer(source, (v) => Math.floor(Number(v.time - from) / 1e9))
  const [hover, setHover] = useState<number | undefined>()
  const drag = useDrag(source)
  const track = useRef<HTMLDivElement>(null)
  const timeAt = (e: PointerEvent) => {
    const box = track.current?.getBoundingClientRect()
    const part = box && box.width > 0 ? (e.clientX - box.left) / box.width : 0
    return Math.min(1, Math.max(0, part))
  }
  const place = (part: number) => from + BigInt(Math.round(part * Number(to - from)))
  return (
    <div
      ref={track}
      className={classes.track}
      role="slider"
      tabIndex={0}
      aria-label={t('scrubber')}
      aria-valuemin={0}
      aria-valuemax={Math.ceil(seconds)}
      aria-valuenow={second}
      aria-valuetext={t('placeOf', {
        place: formatDuration(second),
        length: formatDuration(seconds),
      })}
      onPointerDown={(e) => {
        if (e.button !== 0) return
        e.currentTarget.setPointerCapture(e.pointerId)
        drag.start(place(timeAt(e)))
      }}
      onPointerMove={(e) => {
        setHover(timeAt(e))
        drag.move(place(timeAt(e)))
      }}
      onPointerUp={(e) => drag.end(place(timeAt(e)))}
      onPointerCancel={() => drag.end(undefined)}
      onPointerLeave={() => setHover(undefined)}
    >
      <div className={classes.rail} />
      <Buffered source={source} />
      <Place source={source} />
      {marks.map((m, i) => (
        <button
          key={`${m.at} ${i}`}
          type="button"
          tabIndex={-1}
          className={classes.mark}
          style={{ left: percent(partOf(m.at, { from, to })) }}
          title={m.text}
          aria-label={t('markAt', { text: m.text })}
          onPointerDown={(e) => e.stopPropagation()}
          onClick={() => void source.player.seek(m.at)}
        >
          <Icon name="mark" size={16} />
        </button>
      ))}
      {hover !== undefined && <Tip part={hover} time={place(hover)} from={from} />}
    </div>
  )
}

function Buffered({ source }: { source: ReplaySource }) {
  const buffered = usePlayer(source, (v) => v.buffered)
  const range = usePlayer(source, (v) => v.range)
  const { grid } = source.player
  const box = (r: Range) => ({
    left: percent(partOf(r.from, grid)),
    width: percent(partOf(r.to, grid) - partOf(r.from, grid)),
  })
  const part = range.from > grid.from || range.to < grid.to
  return (
    <>
      {buffered.map((r) => (
        <div key={String(r.from)} className={classes.buffered} style={box(r)} />
      ))}
      {part && <div className={classes.range} style={box(range)} />}
    </>
  )
}

function Place({ source }: { source: ReplaySource }) {
  const { grid } = source.player
  const left = usePlayer(source, (v) => percent(partOf(v.time, grid)))
  return (
    <>
      <div className={classes.played} style={{ width: left }} />
      <div className={classes.thumb} style={{ left }} />
    </>
  )
}

function Tip({ part, time, from }: { part: number; time: bigint; from: bigint }) {
  const format = useTimeFormat()
  // Near the ends it stays inside.
  const left = percent(Math.min(0.94, Math.max(0.06, part)))
  return (
    <div className={classes.tip} style={{ left }}>
      {format(time, { date: false, digits: 3 })} · {formatDuration(Number(time - from) / 1e9)}
    </div>
  )
}

interface Drag {
  start: (time: bigint) => void
  move: (time: bigint) => void
  end: (time: bigint | undefined) => void
}

/** While it is dragged one place at a time is asked for, so that pictures follow the pointer. */
function useDrag(source: ReplaySource): Drag {
  const state = useRef({ dragging: false, busy: false, wish: undefined as bigint | undefined })
  useEffect(() => {
    const now = state.current
    return () => {
      now.wish = undefined
    }
  }, [source])
  const follow = async () => {
    const now = state.current
    if (now.busy) return
    now.busy = true
    while (now.wish !== undefined) {
      const to = now.wish
      now.wish = undefined
      await source.player.seek(to)
    }
    now.busy = false
  }
  const wish = (time: bigint) => {
    state.current.wish = time
    void follow()
  }
  return {
    start: (time) => {
      state.current.dragging = true
      wish(time)
    },
    move: (time) => state.current.dragging && wish(time),
    end: (time) => {
      if (!state.current.dragging) return
      state.current.dragging = false
      state.current.wish = undefined
      if (time !== undefined && source.player.view().time !== time) void source.player.seek(time)
    },
  }
}
