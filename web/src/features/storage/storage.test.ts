import { describe, expect, it } from 'vitest'

import { goesAt, hasLimits, Pace, reasonKey, shares, type Storage, untilFull } from './storage'

const none: Storage['limits'] = {
  max_age_s: null,
  max_size: null,
  min_free: null,
  keep_newest: 3,
  keep_marked: true,
  delete_not_uploaded: false,
}

function make(over: Partial<Storage>): Storage {
  return {
    dir: '/data',
    size: 1000,
    free: 400,
    sessions: { count: 0, bytes: 0 },
    classes: [],
    limits: none,
    would_delete: { sessions: 0, bytes: 0 },
    over: 0,
    next: [],
    held: [],
    deleted: { sessions: 0, bytes: 0, erased_bytes: 0 },
    note: null,
    ...over,
  }
}

describe('hasLimits', () => {
  it('counts only what makes sessions go', () => {
    expect(hasLimits(make({}))).toBe(false)
    expect(hasLimits(make({ limits: { ...none, min_free: 5 } }))).toBe(true)
  })

  it('sees limits of one class', () => {
    const row = {
      class: 'snapshot',
      sessions: 0,
      bytes: 0,
      uploaded: 0,
      max_age_s: 60,
      max_size: null,
      keep_newest: null,
      keep: false,
    }
    expect(hasLimits(make({ classes: [row] }))).toBe(true)
  })
})

describe('goesAt', () => {
  const row = {
    id: '1',
    name: 'a',
    class: 'session',
    bytes: 1,
    started_ns: '1000000000',
    ended_ns: '5000000000',
    uploaded_ns: null,
    why: 'within all limits',
  }

  it('counts from the end', () => {
    expect(goesAt(row, make({}))).toBeUndefined()
    expect(goesAt(row, make({ limits: { ...none, max_age_s: 2 } }))).toBe(7_000_000_000n)
    const running = { ...row, ended_ns: null }
    expect(goesAt(running, make({ limits: { ...none, max_age_s: 2 } }))).toBe(3_000_000_000n)
  })
})

describe('shares', () => {
  it('add up to the disk', () => {
    expect(shares(1000, 400, 250)).toEqual({ recordings: 25, others: 35, free: 40 })
  })

  it('never show more recordings than the disk has in use', () => {
    expect(shares(1000, 900, 250)).toEqual({ recordings: 10, others: 0, free: 90 })
    expect(shares(0, 0, 0)).toEqual({ recordings: 0, others: 0, free: 0 })
  })
})

describe('Pace', () => {
  it('needs some seconds', () => {
    const pace = new Pace()
    pace.add(0, 1000)
    pace.add(100, 2000)
    expect(pace.perSecond()).toBeUndefined()
    pace.add(400, 5000)
    expect(pace.perSecond()).toBe(100)
  })

  it('begins anew when a counter falls, and forgets what is old', () => {
    const pace = new Pace()
    pace.add(1e6, 0)
    pace.add(0, 1000)
    pace.add(5000, 6000)
    expect(pace.perSecond()).toBe(1000)
    pace.add(5000, 66_000)
    pace.add(5000, 70_000)
    expect(pace.perSecond()).toBe(0)
  })
})

it('says nothing of when the disk is full while nothing is written', () => {
  expect(untilFull(1000, undefined)).toBeUndefined()
  expect(untilFull(1000, 0)).toBeUndefined()
  expect(untilFull(1000, 10)).toBe(100)
})

it('knows reasons, and that there may be others', () => {
  expect(reasonKey('kept by hand')).toBe('kept')
  expect(reasonKey('something new')).toBeUndefined()
})
