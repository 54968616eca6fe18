import { describe, expect, it } from 'vitest'

import { changes, fieldOf, sections } from './schema'

const key = (value: unknown) => ({ value, source: 'default', live: true })

describe('settings', () => {
  it('shows a key by its kind', () => {
    expect(fieldOf({ enum: ['none', 'lz4'] })).toBe('choice')
    expect(fieldOf({ enum: [true, false, 'true'] })).toBe('switch')
    expect(fieldOf({ type: ['array', 'string'] })).toBe('list')
    expect(fieldOf({ type: ['integer', 'string'] })).toBe('text')
  })

  it('tells only what differs', () => {
    const keys = { a: key('x'), b: key(['1', '2']), c: key(3) }
    expect(changes({ a: 'x', b: ['1'], c: null }, keys)).toEqual([
      { key: 'b', before: '1, 2', after: '1' },
      { key: 'c', before: '3', after: undefined },
    ])
  })

  it('groups by section', () => {
    expect(sections(['a.x', 'b.y', 'a.z'])).toEqual([
      ['a', ['a.x', 'a.z']],
      ['b', ['b.y']],
    ])
  })
})
