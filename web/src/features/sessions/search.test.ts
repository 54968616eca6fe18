import { describe, expect, it } from 'vitest'

import { choose, dayNs, hasTerm, termOf, termsOf, toggleTerm } from './search'

describe('terms', () => {
  it('quote what has blanks, commas or stars', () => {
    expect(termOf('robot', 'robot1')).toBe('robot:robot1')
    expect(termOf('month', '2026-11')).toBe('date:2026-11')
    expect(termOf('tag', 'aisle 7')).toBe('tag:"aisle 7"')
    expect(termOf('tag', 'a"b c')).toBe('tag:"ab c"')
  })

  it('are kept together by quotes', () => {
    expect(termsOf('robot:7 tag:"aisle 7"  "front left" shelf')).toEqual([
      'robot:7',
      'tag:"aisle 7"',
      '"front left"',
      'shelf',
    ])
  })

  it('come and go', () => {
    const q = toggleTerm('shelf', 'tag:"aisle 7"')
    expect(q).toBe('shelf tag:"aisle 7"')
    expect(hasTerm(q, 'tag:"aisle 7"')).toBe(true)
    expect(toggleTerm(q, 'tag:"aisle 7"')).toBe('shelf')
  })
})

describe('dayNs', () => {
  it('is the begin of the day in its zone', () => {
    expect(dayNs('2026-11-29', 'utc', 0)).toBe('1795910400000000000')
    expect(dayNs('2026-11-29', 'utc', 0, 1)).toBe('1795996800000000000')
    expect(dayNs('2026-11-29', 'robot', 60)).toBe('1795906800000000000')
    expect(dayNs('', 'utc', 0)).toBe('')
  })
})

describe('choose', () => {
  it('keeps two', () => {
    expect(choose([], 'a')).toEqual(['a'])
    expect(choose(['a', 'b'], 'c')).toEqual(['b', 'c'])
    expect(choose(['a', 'b'], 'a')).toEqual(['b'])
  })
})
