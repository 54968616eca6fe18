import { useSyncExternalStore } from 'react'

import { kind, problem, send } from './api/client'
import { eventsTarget, subscribe } from './live'
import { getSettings, watchSettings } from './settings'

/*
 * The recorder that commands go to: the agent itself, or through a server the agent of the robot
 * that was chosen. Commands of a server are requests to the agent's own API by name (docs/api/link.md).
 */

export interface Recorder {
  /** device at the server; '' for the agent itself or none chosen */
  device: string
  known: boolean
  state: string
  /** sessions that have not ended; those of them that are paused */
  running: number
  paused: number
}

interface StatusLike {
  state?: string
  sessions?: { running?: number; paused?: number }
}

const nothing: Recorder = { device: '', known: false, state: 'unknown', running: 0, paused: 0 }
let recorder = nothing
const listeners = new Set<() => void>()
let stop: (() => void) | undefined

function become(next: Recorder): void {
  const same = (Object.keys(next) as (keyof Recorder)[]).every((k) => next[k] === recorder[k])
  if (same) return
  recorder = next
  listeners.forEach((l) => l())
}

function follow(device: string): void {
  stop?.()
  stop = undefined
  become({ ...nothing, device })
  if (kind() === 'server' && device === '') return
  stop = subscribe(`${eventsTarget(device)}status`, {
    event: (data) => {
      const s = data as StatusLike | null
      become({
        device,
        known: s?.state !== undefined,
        state: s?.state ?? 'unknown',
        running: s?.sessions?.running ?? 0,
        paused: s?.sessions?.paused ?? 0,
      })
    },
  })
}

/** Follows what commands go to; once, after the kind is known. */
export function startRecorder(): void {
  const target = () => (kind() === 'server' ? getSettings().robot : '')
  let device = target()
  follow(device)
  watchSettings(() => {
    if (target() === device) return
    device = target()
    follow(device)
  })
}

export function getRecorder(): Recorder {
  return recorder
}

export function useRecorder(): Recorder {
  return useSyncExternalStore(
    (l) => {
      listeners.add(l)
      return () => listeners.delete(l)
    },
    () => recorder,
  )
}

type Args = Record<string, unknown>

function session(args: Args): string {
  return encodeURIComponent(typeof args.session === 'string' ? args.session : 'current')
}

const requests: Record<string, (args: Args) => string> = {
  'session.start': () => 'sessions',
  'session.stop': (a) => `sessions/${session(a)}/stop`,
  'session.pause': (a) => `sessions/${session(a)}/pause`,
  'session.resume': (a) => `sessions/${session(a)}/resume`,
  'session.split': (a) => `sessions/${session(a)}/split`,
  'session.mark': (a) => `sessions/${session(a)}/marks`,
  snapshot: () => 'snapshot',
  'sync.now': () => 'sync/now',
}

export type RecorderCommand =
  | 'session.start'
  | 'session.stop'
  | 'session.pause'
  | 'session.resume'
  | 'session.split'
  | 'session.mark'
  | 'snapshot'
  | 'sync.now'
  | 'alert.list'
  | 'alert.acknowledge'

interface Report {
  state: string
  status: number
  body: unknown
}

/** Does it at the recorder; throws ApiError with the agent's own words. */
export async function command(name: RecorderCommand, args: Args = {}, device = recorder.device) {
  if (kind() === 'agent') {
    const body = Object.fromEntries(Object.entries(args).filter(([key]) => key !== 'session'))
    return send<unknown>('POST', `api/v1/${requests[name]?.(args) ?? name}`, body)
  }
  const path = `api/v1/devices/${encodeURIComponent(device)}/commands`
  const report = await send<Report>('POST', path, { name, args })
  if (report.state !== 'done' || report.status >= 400) throw problem(report.status, report.body)
  return report.body
}
