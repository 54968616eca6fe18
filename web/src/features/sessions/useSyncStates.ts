import { useQuery } from '@tanstack/react-query'

import { kind, request } from '../../shared/api/client'
import type { AgentSchemas } from '../../shared/api/query'

export type SyncState = 'failed' | 'parked' | 'waiting' | 'sent' | 'kept'

interface Files {
  files: { session: string }[]
  next: number | null
}

interface Known {
  targets: boolean
  /** whether the lists below are whole */
  whole: boolean
  states: Map<string, SyncState>
}

const LIMIT = 999
// The worst state of any file is that of its session.
const worst = ['kept', 'waiting', 'parked', 'failed'] as const

async function ask(): Promise<Known> {
  const sync = await request<AgentSchemas['Sync']>('api/v1/sync')
  if (sync.targets.length === 0) return { targets: false, whole: true, states: new Map() }
  const states = new Map<string, SyncState>()
  let whole = true
  for (const state of worst) {
    const { files, next } = await request<Files>(`api/v1/sync/files?state=${state}&limit=${LIMIT}`)
    whole &&= next === null
    files.forEach((f) => states.set(f.session, state))
  }
  return { targets: true, whole, states }
}

/** How far each session of an agent is on its way; undefined: not known. */
export function useSyncStates(): (id: string) => SyncState | 'none' | undefined {
  const { data } = useQuery({
    queryKey: ['sync', 'bySession'],
    queryFn: ask,
    enabled: kind() === 'agent',
  })
  return (id) => {
    if (!data) return undefined
    if (!data.targets) return 'none'
    return data.states.get(id) ?? (data.whole ? 'sent' : undefined)
  }
}
