import { describe, expect, it } from 'vitest'

import { resourcesFrom } from './resources'

const files = import.meta.glob<Record<string, unknown>>('./{en,de}/*.json', {
  eager: true,
  import: 'default',
})

function keys(value: unknown, prefix = ''): string[] {
  if (typeof value !== 'object' || value === null) return [prefix]
  return Object.entries(value).flatMap(([k, v]) => keys(v, prefix ? `${prefix}.${k}` : k))
}

function holes(value: unknown): string[] {
  return [...JSON.stringify(value).matchAll(/\{\{(\w+)/g)].map((m) => m[1] ?? '').sort()
}

describe('texts', () => {
  const { en = {}, de = {} } = resourcesFrom(files)
  it('are there in both languages, with the same keys and values', () => {
    expect(Object.keys(de).sort()).toEqual(Object.keys(en).sort())
    for (const name of Object.keys(en)) {
      expect(keys(de[name]).sort(), name).toEqual(keys(en[name]).sort())
      expect(holes(de[name]), name).toEqual(holes(en[name]))
    }
  })
})
