import { useEffect, useRef, useSyncExternalStore } from 'react'

import type { Action } from './keys'
import { actionOf, nextRate } from './keys'
import { RATES, type PlayerView } from './player'
import type { Mark } from './session'
import type { ReplaySource } from './source'

/** A part of what the player says; renders only when that part is another. */
export function usePlayer<T>(source: ReplaySource, select: (view: PlayerView) => T): T {
  return useSyncExternalStore(source.watch, () => select(source.player.view()))
}

/** A tab that was away, or a machine that slept, goes on where it was. */
const MAX_STEP_MS = 250

/** Moves the player with the frames of the screen while it plays. */
export function useClock(source: ReplaySource): void {
  const playing = usePlayer(source, (v) => v.playing)
  useEffect(() => {
    if (!playing) return
    let before = performance.now()
    let id = requestAnimationFrame(function step(now: number) {
      source.player.tick(Math.min(MAX_STEP_MS, Math.max(0, now - before)))
      before = now
      id = requestAnimationFrame(step)
    })
    return () => cancelAnimationFrame(id)
  }, [source, playing])
}

/** The mark behind or before a time. */
export function markFrom(marks: readonly Mark[], time: bigint, forward: boolean): Mark | undefined {
  return forward ? marks.find((m) => m.at > time) : [...marks].reverse().find((m) => m.at < time)
}

/** Does what a key or a button says. */
export function act(
  source: ReplaySource,
  marks: readonly Mark[],
  help: () => void,
  action: Action,
): void {
  const { player } = source
  const { time, rate, loop, range } = player.view()
  const { from, to } = player.grid
  switch (action.do) {
    case 'toggle':
      return player.toggle()
    case 'loop':
      return player.setLoop(!loop)
    case 'faster':
    case 'slower':
      return player.setRate(nextRate(RATES, rate, action.do === 'faster'))
    case 'first':
      return void player.seek(range.from)
    case 'last':
      return void player.seek(range.to)
    case 'from':
      return player.setRange({ from: time, to: time < range.to ? range.to : to })
    case 'to':
      return player.setRange({ from: time > range.from ? range.from : from, to: time })
    case 'all':
      return player.setRange(undefined)
    case 'jump':
      return void player.jump(BigInt(action.ms) * 1_000_000n)
    case 'step':
      return void player.step(action.forward)
    case 'mark': {
      const mark = markFrom(marks, time, action.forward)
      return mark && void player.seek(mark.at)
    }
    case 'help':
      return help()
  }
}

const OWN = 'input, textarea, select, [role=dialog], [role=menu], [role=listbox]'

/** Whether the key is for what has the focus: a field, or the button that Space presses. */
function taken(e: KeyboardEvent): boolean {
  if (e.defaultPrevented || !(e.target instanceof HTMLElement)) return e.defaultPrevented
  if (e.target.isContentEditable || e.target.closest(OWN)) return true
  return e.key === ' ' && e.target.closest('button, a, [role=button]') !== null
}

export function useKeys(run: (action: Action) => void): void {
  const newest = useRef(run)
  useEffect(() => {
    newest.current = run
  })
  useEffect(() => {
    const listener = (e: KeyboardEvent) => {
      const action = taken(e) ? undefined : actionOf(e)
      if (!action) return
      e.preventDefault()
      newest.current(action)
    }
    window.addEventListener('keydown', listener)
    return () => window.removeEventListener('keydown', listener)
  }, [])
}
