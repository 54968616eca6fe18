import { describe, expect, it } from 'vitest'

import { editOf } from './edits'
import { sliceQuery } from './slices'

const base = { from: 0, to: 60, topics: [], format: 'mcap' as const }

describe('sliceQuery', () => {
  it('has no bounds for the whole', () => {
    expect(sliceQuery(base, 1_000n, 60)).toBe('?format=mcap')
  })

  it('has times exact to the nanosecond of the beginning', () => {
    const q = sliceQuery(
      { ...base, from: 1.5, to: 3, topics: ['/a', '/b'] },
      1795943596176219426n,
      60,
    )
    const p = new URLSearchParams(q)
    expect(p.get('from')).toBe('1795943597676219426')
    expect(p.get('to')).toBe('1795943599176219426')
    expect(p.get('topics')).toBe('/a,/b')
  })
})

describe('editOf', () => {
  const before = { mission: 'm', operator: '', notes: 'n', tags: ['a'] }
  it('has only what was changed', () => {
    expect(editOf(before, { ...before, tags: ['a', 'b'] })).toEqual({ tags: ['a', 'b'] })
    expect(editOf(before, { ...before, notes: '' })).toEqual({ notes: '' })
    expect(editOf(before, { ...before, tags: ['a'] })).toEqual({})
  })
})
