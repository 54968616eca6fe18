import { QueryClient, useQuery } from '@tanstack/react-query'

import { ApiError, kind, request } from './client'
import type { components as AgentComponents } from './agent'
import type { components as ServerComponents } from './server'

export type AgentSchemas = AgentComponents['schemas']
export type ServerSchemas = ServerComponents['schemas']
export type Role = 'viewer' | 'operator' | 'admin'
export type Who = AgentSchemas['Who']

function again(count: number, error: Error): boolean {
  const status = error instanceof ApiError ? error.status : 0
  return (status === 0 || status >= 500) && count < 2
}

/** Nothing is asked for twice by time: events say what has changed. */
export const queryClient = new QueryClient({
  defaultOptions: {
    queries: { staleTime: Infinity, retry: again, refetchOnWindowFocus: false },
    mutations: { retry: false },
  },
})

export const whoamiQuery = {
  queryKey: ['whoami'],
  queryFn: () => request<Who>('api/v1/whoami'),
}

export const statusQuery = {
  queryKey: ['status'],
  queryFn: () => request<AgentSchemas['Status']>('api/v1/status'),
}

/** Who looks. */
export function useWhoami(): Who | undefined {
  return useQuery(whoamiQuery).data
}

/** The agent's status as it was when asked; for what ticks take useTopic('status'). */
export function useStatus(): AgentSchemas['Status'] | undefined {
  return useQuery({ ...statusQuery, enabled: kind() === 'agent' }).data
}

/** The role of who looks; null: nobody is known. */
export function useRole(): Role | null {
  return useWhoami()?.role ?? null
}

/** Nobody is known here, and nobody may look without: a refused WebSocket does not say so itself. */
export function useDenied(): boolean {
  const who = useWhoami()
  return who !== undefined && who.role === null
}

const ranks: Record<Role, number> = { viewer: 1, operator: 2, admin: 3 }

/** Whether `role` reaches `needed`. */
export function reaches(role: Role | null, needed: Role): boolean {
  return role !== null && ranks[role] >= ranks[needed]
}
