/** What the last lines of the log say; pure, the page draws it. */

export type Level = 'error' | 'warning' | 'notice' | 'info' | 'debug'

export const levels: Level[] = ['error', 'warning', 'notice', 'info', 'debug']

export interface LogLine {
  number: number
  time_ns: string | null
  level: Level
  text: string
  /** the line was longer than what is kept */
  cut: boolean
}

export interface Field {
  key: string
  value: string
}

/** So many lines stay in the page; a log never ends. */
export const KEPT = 5000

/** Keys that say whom a line is about. */
const SOURCES = ['robot', 'device', 'session', 'topic', 'target', 'trigger', 'job']

/** `message  key=value  key=value`: the log puts two spaces before each key. */
export function split(text: string): { message: string; fields: Field[] } {
  const parts = text.split(/ {2}(?=[A-Za-z_][\w.]*=)/)
  const fields = parts.slice(1).map((part) => {
    const at = part.indexOf('=')
    return { key: part.slice(0, at), value: part.slice(at + 1) }
  })
  return { message: parts[0] ?? '', fields }
}

/** Whom a line is about, as `key=value`. */
export function sourcesOf(line: LogLine): string[] {
  return split(line.text)
    .fields.filter((f) => f.value !== '' && SOURCES.includes(f.key))
    .map((f) => `${f.key}=${f.value}`)
}

/** Puts new lines behind old ones; what is there already is not taken twice. */
export function append(old: LogLine[], more: LogLine[]): LogLine[] {
  const last = old[old.length - 1]?.number ?? -1
  const fresh = more.filter((l) => l.number > last)
  return fresh.length === 0 ? old : [...old, ...fresh].slice(-KEPT)
}

export interface Filter {
  /** only as grave as this */
  level: Level
  find: string
  /** `key=value`; '' any */
  source: string
}

/** Lines that pass, newest first. */
export function pick(lines: LogLine[], filter: Filter): LogLine[] {
  const worst = levels.indexOf(filter.level)
  const needle = filter.find.trim().toLowerCase()
  return lines
    .filter(
      (l) =>
        levels.indexOf(l.level) <= worst &&
        (needle === '' || l.text.toLowerCase().includes(needle)) &&
        (filter.source === '' || sourcesOf(l).includes(filter.source)),
    )
    .reverse()
}
