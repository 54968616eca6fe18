import { useSyncExternalStore } from 'react'

import type { Zone } from './time/time'

/** What the one at this browser likes; kept in it. */
export interface Settings {
  scheme: 'auto' | 'light' | 'dark'
  contrast: boolean
  language: 'en' | 'de'
  zone: Zone
  /** minutes that the robot's wall clock is ahead of UTC */
  robotOffsetMin: number
  /** sizes by 1000 (MB) or 1024 (MiB) */
  bytes: 'decimal' | 'binary'
  /** commands have single keys; off for those who speak to their browser, or whose hand is not steady */
  shortcuts: boolean
  /** device that is looked at through a server; '' none */
  robot: string
}

const KEY = 'bagpipe.settings'

function first(): Settings {
  const german = navigator.language.toLowerCase().startsWith('de')
  return {
    scheme: 'auto',
    contrast: matchMedia('(prefers-contrast: more)').matches,
    language: german ? 'de' : 'en',
    zone: 'local',
    robotOffsetMin: 0,
    bytes: 'decimal',
    shortcuts: true,
    robot: '',
  }
}

function load(): Settings {
  const base = first()
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Settings>
    return { ...base, ...kept }
  } catch {
    return base
  }
}

let current: Settings | undefined
const listeners = new Set<() => void>()

export function getSettings(): Settings {
  return (current ??= load())
}

export function setSettings(change: Partial<Settings>): void {
  current = { ...getSettings(), ...change }
  try {
    localStorage.setItem(KEY, JSON.stringify(current))
    localStorage.setItem('bagpipe.scheme', current.scheme) // boot.js reads it before the first paint
  } catch {
    // Storage may be forbidden: the choice then lasts as long as the page.
  }
  listeners.forEach((l) => l())
}

export function watchSettings(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export function useSettings(): Settings {
  return useSyncExternalStore(watchSettings, getSettings)
}
