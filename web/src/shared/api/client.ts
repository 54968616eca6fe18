import createClient, { type Client } from 'openapi-fetch'

import type { paths as AgentPaths } from './agent'
import { apiUrl, runTimeConfig } from './base'
import type { paths as ServerPaths } from './server'

export type Kind = 'agent' | 'server'

/** What the API answered when it did not do it; `code` is a name for programs where there is one. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly remedy: string | undefined

  constructor(status: number, message: string, code = '', remedy?: string) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.code = code
    this.remedy = remedy
  }
}

type Listener = () => void
const denied = new Set<Listener>()

/** Calls `listener` each time the API answers 401: whoever looks must sign in again. */
export function onDenied(listener: Listener): () => void {
  denied.add(listener)
  return () => denied.delete(listener)
}

export function tellDenied(): void {
  denied.forEach((listener) => listener())
}

/** fetch() to the API with the cookie; network failures become ApiError with status 0. */
export async function call(input: Request | string, init?: RequestInit): Promise<Response> {
  const credentials = runTimeConfig().backend_url ? 'include' : 'same-origin'
  let res: Response
  try {
    res = await fetch(input, { credentials, ...init })
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause
    throw new ApiError(0, 'offline', 'offline')
  }
  const login = new URL(res.url || '.', document.baseURI).pathname.endsWith('/api/v1/login')
  if (res.status === 401 && !login) tellDenied()
  return res
}

// The base is known after config.json was read, so the clients are made on first use.
let agentClient: Client<AgentPaths> | undefined
let serverClient: Client<ServerPaths> | undefined

function options() {
  return { baseUrl: apiUrl(), fetch: (req: Request) => call(req) }
}

/** The agent's API; only where kind() is 'agent'. */
export function agent(): Client<AgentPaths> {
  return (agentClient ??= createClient<AgentPaths>(options()))
}

/** The server's API; only where kind() is 'server'. */
export function server(): Client<ServerPaths> {
  return (serverClient ??= createClient<ServerPaths>(options()))
}

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

interface ProblemLike {
  detail?: unknown
  title?: unknown
  code?: unknown
  remedy?: unknown
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** The error of an answer that is no success, from its problem+json where it has one. */
export function problem(status: number, body: unknown): ApiError {
  const p = (typeof body === 'object' && body !== null ? body : {}) as ProblemLike
  const message = text(p.detail) ?? text(p.title) ?? text(body) ?? `HTTP ${status}`
  return new ApiError(status, message, text(p.code) ?? '', text(p.remedy))
}

/** What the API answered, or throws ApiError. */
export async function take<T>(promise: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await promise
  if (!response.ok) throw problem(response.status, error)
  return data as T
}

/** A JSON request by path (`api/v1/…`), for what the description has no schema for. */
export async function request<T>(path: string, init?: RequestInit): Promise<T> {
  const res = await call(new URL(path, apiUrl()).href, init)
  const body = await readBody(res)
  if (!res.ok) throw problem(res.status, body)
  return body as T
}

async function readBody(res: Response): Promise<unknown> {
  if (res.status === 204) return undefined
  const raw = await res.text()
  try {
    return JSON.parse(raw)
  } catch {
    return raw
  }
}

/** POST, PATCH, PUT or DELETE with a JSON body. */
export function send<T>(method: string, path: string, body?: unknown): Promise<T> {
  return request<T>(path, {
    method,
    headers: { 'Content-Type': 'application/json' },
    body: body === undefined ? null : JSON.stringify(body),
  })
}

let known: Kind | undefined

/** Whom we talk to; learnt by learnKind(). */
export function kind(): Kind {
  return known ?? 'agent'
}

/** Asks once who answers: an agent tells of its graph. Needs no sign-in; throws when no API answers. */
export async function learnKind(): Promise<void> {
  const res = await fetch(new URL('api/v1/status', apiUrl()).href)
  if (res.ok) {
    known = 'graph' in ((await res.json()) as object) ? 'agent' : 'server'
    return
  }
  if (res.status !== 401 && res.status !== 403) throw new ApiError(res.status, 'no API here')
  // Its status is not for everybody; but only a server has devices, whoever asks.
  const devices = await fetch(new URL('api/v1/devices', apiUrl()).href)
  known = devices.status === 404 ? 'agent' : 'server'
}

export function kindIsKnown(): boolean {
  return known !== undefined
}
