/** Where the app lives, with a slash at the end: `https://host/robot7/`. The server writes it into <base>. */
export function baseUrl(): string {
  return new URL('.', document.baseURI).href
}

/** The path of baseUrl() without the slash at the end; '' at the root. */
export function basePath(): string {
  return new URL(baseUrl()).pathname.replace(/\/+$/, '')
}

export interface RunTimeConfig {
  backend_url?: string
  ws_url?: string
  map_tiles?: string
}

let config: RunTimeConfig = {}

/** Reads config.json, which an nginx in front may answer with other places of API and events. */
export async function loadConfig(): Promise<void> {
  try {
    const res = await fetch(new URL('config.json', baseUrl()), { cache: 'no-store' })
    if (res.ok) config = (await res.json()) as RunTimeConfig
  } catch {
    // Without it everything is where the page came from.
  }
}

export function runTimeConfig(): RunTimeConfig {
  return config
}

function withSlash(url: string): string {
  return url.endsWith('/') ? url : `${url}/`
}

/** Where the API answers, with a slash at the end and without `api/v1`. */
export function apiUrl(): string {
  const other = config.backend_url
  return other ? withSlash(new URL(other, baseUrl()).href) : baseUrl()
}

/** Where the events come from. */
export function eventsUrl(): string {
  const other = config.ws_url
  const url = other ? new URL(other, baseUrl()) : new URL('api/v1/events', apiUrl())
  url.protocol = url.protocol.replace('http', 'ws')
  return url.href
}
