/** One key of the configuration, from the JSON schema that the agent tells (x-live, x-default are ours). */
export interface KeySchema {
  type?: string | string[]
  enum?: unknown[]
  items?: unknown
  minimum?: number
  maximum?: number
  description?: string
  'x-default'?: string
  'x-live'?: boolean
  'x-unit'?: string
}

export interface Schema {
  $defs: Record<string, KeySchema>
}

export interface KeyState {
  value: unknown
  source: string
  live: boolean
  pending?: unknown
}

export type Draft = Record<string, string | string[] | null>

/** The kinds of fields that a key is shown as. */
export function fieldOf(key: KeySchema | undefined): 'choice' | 'switch' | 'list' | 'text' {
  if (!key) return 'text'
  if (key.enum) return key.enum.includes(true) ? 'switch' : 'choice'
  const types = Array.isArray(key.type) ? key.type : [key.type]
  return types.includes('array') ? 'list' : 'text'
}

/** A value as one line of text. */
export function textOf(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (Array.isArray(value)) return value.map(String).join(', ')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

export interface Change {
  key: string
  before: string
  /** undefined: taken back to file or default */
  after: string | undefined
}

/** What of the draft differs from what is in effect. */
export function changes(draft: Draft, keys: Record<string, KeyState>): Change[] {
  return Object.entries(draft)
    .map(([key, value]) => ({
      key,
      before: textOf(keys[key]?.value),
      after: value === null ? undefined : textOf(value),
    }))
    .filter((c) => c.after === undefined || c.after !== c.before)
}

/** Keys by the first part of their name. */
export function sections(names: string[]): [string, string[]][] {
  const by = new Map<string, string[]>()
  for (const name of names) {
    const section = name.split('.')[0] ?? name
    by.set(section, [...(by.get(section) ?? []), name])
  }
  return [...by]
}
