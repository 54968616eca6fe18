import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query'

import { apiUrl } from '../../shared/api/base'
import { ApiError, kind, request } from '../../shared/api/client'
import type { AgentSchemas } from '../../shared/api/query'
import type { Sort } from '../../shared/ui'
import type { Channel } from './ledger'
import { isRunning, type Overview, type Segment, type Session, type SessionTopic } from './model'

export interface Filter {
  q: string
  status: string
  fromNs: string
  toNs: string
  sort: Sort
}

export interface Page {
  sessions: Session[]
  next: string | null
  facets?: Record<string, { value: string; sessions: number }[]>
  total?: number
  total_exact?: boolean
}

const LIMIT = 100
const FACETS = 12
const RUNNING_EVERY_MS = 3000

export function sessionPath(id: string, rest = ''): string {
  return `api/v1/sessions/${encodeURIComponent(id)}${rest}`
}

/** The address of what a browser downloads by itself. */
export function downloadUrl(path: string): string {
  return new URL(path, apiUrl()).href
}

export function listPath(filter: Filter, page: string | undefined): string {
  const p = new URLSearchParams({ limit: String(LIMIT) })
  if (filter.q.trim() !== '') p.set('q', filter.q.trim())
  if (filter.status !== '') p.set('status', filter.status)
  if (filter.fromNs !== '') p.set('from_ns', filter.fromNs)
  if (filter.toNs !== '') p.set('to_ns', filter.toNs)
  if (kind() === 'server') {
    p.set('sort', `${filter.sort.down ? '-' : ''}${filter.sort.by}`)
    if (page === undefined) p.set('facets', String(FACETS))
  }
  if (page !== undefined) p.set(kind() === 'server' ? 'cursor' : 'before', page)
  return `api/v1/sessions?${p.toString()}`
}

export function sessionsQuery(filter: Filter) {
  return infiniteQueryOptions({
    queryKey: ['sessions', 'list', filter],
    queryFn: ({ pageParam }) => request<Page>(listPath(filter, pageParam)),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    placeholderData: (before) => before,
  })
}

export function sessionQuery(id: string) {
  return queryOptions({
    queryKey: ['session', id],
    queryFn: () => request<Session>(sessionPath(id)),
    // Counters of one that runs are in no event.
    refetchInterval: (q) => (q.state.data && isRunning(q.state.data) ? RUNNING_EVERY_MS : false),
  })
}

export function topicsQuery(id: string) {
  return queryOptions({
    queryKey: ['session', id, 'topics'],
    queryFn: () => request<{ topics: SessionTopic[] }>(sessionPath(id, '/topics')),
  })
}

export function segmentsQuery(id: string) {
  return queryOptions({
    queryKey: ['session', id, 'segments'],
    queryFn: () => request<{ segments: Segment[]; files: Segment[] }>(sessionPath(id, '/segments')),
  })
}

/** null: the server has looked into no segment of it yet. */
export function overviewQuery(id: string) {
  return queryOptions({
    queryKey: ['session', id, 'overview'],
    queryFn: async (): Promise<Overview | null> => {
      try {
        return await request<Overview>(sessionPath(id, '/overview'))
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) return null
        throw error
      }
    },
    enabled: kind() === 'server',
  })
}

export function ledgerQuery(id: string) {
  return queryOptions({
    queryKey: ['session', id, 'ledger'],
    queryFn: () => request<AgentSchemas['Ledger']>(sessionPath(id, '/ledger?spans=1')),
    enabled: kind() === 'agent',
  })
}

export interface Manifest {
  channels?: Channel[]
  tool?: string
  signed_by?: string
}

export function manifestQuery(id: string, there: boolean) {
  return queryOptions({
    queryKey: ['session', id, 'manifest'],
    queryFn: () => request<Manifest>(sessionPath(id, '/segments/manifest.json')),
    enabled: kind() === 'server' && there,
  })
}
