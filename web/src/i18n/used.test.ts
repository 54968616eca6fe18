import { describe, expect, it } from 'vitest'

import { resourcesFrom } from './resources'

const texts = import.meta.glob<Record<string, unknown>>('./en/*.json', {
  eager: true,
  import: 'default',
})
const sources = import.meta.glob<string>(['../**/*.{ts,tsx}', '!../**/*.test.*', '!../**/*.d.ts'], {
  eager: true,
  import: 'default',
  query: '?raw',
})

function keys(value: unknown, prefix = ''): string[] {
  if (typeof value !== 'object' || value === null) return [prefix]
  return Object.entries(value).flatMap(([k, v]) => keys(v, prefix ? `${prefix}.${k}` : k))
}

const known = new Set<string>()
for (const [name, file] of Object.entries(resourcesFrom(texts).en ?? {})) {
  for (const key of keys(file)) {
    known.add(`${name}:${key}`)
    known.add(`${name}:${key.replace(/_(one|other|zero)$/, '')}`)
  }
}

/** Whose texts a file asks for: those it names, those of its folder, and the common ones. */
function namesOf(path: string, text: string): string[] {
  const named = [...text.matchAll(/useT\(\s*'([\w-]+)'/g)].map((m) => m[1] ?? '')
  const folder = /\/(?:features|shared)\/([\w-]+)\//.exec(path)?.[1] ?? 'common'
  return [...new Set([...named, folder, 'common'])]
}

/** Whether there is such a key, or one that begins so. */
function found(names: string[], key: string, begins: boolean): boolean {
  const full = key.includes(':') ? [key] : names.map((n) => `${n}:${key}`)
  return full.some((f) => (begins ? [...known].some((k) => k.startsWith(f)) : known.has(f)))
}

/** The keys that a source asks for by name; of `a.${x}` what stands before x. */
function used(text: string): { key: string; begins: boolean }[] {
  const whole = [...text.matchAll(/\b(?:t|translate)\(\s*'([^']+)'/g)]
  const parts = [...text.matchAll(/\b(?:t|translate)\(\s*`([^`$]+)\$\{/g)]
  return [
    ...whole.map((m) => ({ key: m[1] ?? '', begins: false })),
    ...parts.map((m) => ({ key: m[1] ?? '', begins: true })),
  ]
}

describe('texts', () => {
  it('that are asked for are there', () => {
    const missing = Object.entries(sources).flatMap(([path, text]) => {
      const names = namesOf(path, text)
      return used(text)
        .filter((u) => !found(names, u.key, u.begins))
        .map((u) => `${path}: ${u.key}`)
    })
    expect(missing).toEqual([])
    const count = Object.values(sources).reduce((n, text) => n + used(text).length, 0)
    expect(count).toBeGreaterThan(200)
  })
})
