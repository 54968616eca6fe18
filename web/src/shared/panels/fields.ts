import type { PanelConfig } from './layout'

/** One line of a plot: a field of a topic. */
export interface Field {
  readonly topic: string
  readonly path: string
}

export function fieldName(f: Field): string {
  return `${f.topic} ${f.path}`
}

/** The fields of a panel's config. */
export function fieldsOf(config: PanelConfig): Field[] {
  const raw = config.fields
  if (!Array.isArray(raw)) return []
  return raw.filter(isField).slice(0, 12)
}

function isField(f: unknown): f is Field {
  if (f === null || typeof f !== 'object') return false
  const { topic, path } = f as { topic?: unknown; path?: unknown }
  return typeof topic === 'string' && typeof path === 'string'
}
