import { describe, expect, it } from 'vitest'

import { linesOfChannels, linesOfLedger, parseSpans, timeOf } from './ledger'

function source(topic: string, received: number, lost: Record<string, number>, spans = {}) {
  return {
    guid: '00',
    topic,
    node: '',
    vendor: 272,
    first: 1,
    last: 1,
    received,
    late: 0,
    duplicates: 0,
    lost: 0,
    lost_by_cause: lost,
    spans: { received: '', lost: spans },
  }
}

function ledger(...sources: ReturnType<typeof source>[]) {
  return {
    session: 's',
    running: false,
    received: 0,
    late: 0,
    lost: 0,
    lost_by_cause: {},
    sources,
  }
}

describe('linesOfLedger', () => {
  it('says how many of all, by cause, losses before what was asked for', () => {
    const lines = linesOfLedger(
      ledger(
        source('/left', 8990, { transport: 3, paused: 7, ring: 0 }, { transport: '5-7' }),
        source('/right', 10, { paused: 90 }),
      ),
    )
    expect(lines.map((l) => [l.topic, l.cause, l.count, l.of, l.loss])).toEqual([
      ['/left', 'transport', 3, 9000, true],
      ['/right', 'paused', 90, 100, false],
      ['/left', 'paused', 7, 9000, false],
    ])
    expect(lines[0]?.numbers).toEqual(['5-7'])
  })

  it('sums up the writers of a topic', () => {
    const lines = linesOfLedger(
      ledger(source('/x', 10, { ring: 2 }, { ring: '1-2' }), source('/x', 5, { ring: 1 })),
    )
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatchObject({ count: 3, of: 18, writers: 2, numbers: ['1-2'] })
  })

  it('takes numbers without a message for no loss', () => {
    expect(linesOfLedger(ledger(source('/x', 10, { control: 2 })))).toEqual([])
  })
})

describe('linesOfChannels', () => {
  it('reads the sums of a manifest', () => {
    const lines = linesOfChannels([
      { topic: '/a', received: 95, lost: { paused: 5 } },
      { topic: '/b', received: 5, lost: {} },
    ])
    expect(lines).toMatchObject([{ topic: '/a', cause: 'paused', count: 5, of: 100, loss: false }])
  })
})

describe('parseSpans', () => {
  it('reads ranges and single numbers', () => {
    expect(parseSpans('33-37,40, 52-60')).toEqual([
      { first: 33, last: 37 },
      { first: 40, last: 40 },
      { first: 52, last: 60 },
    ])
    expect(parseSpans('')).toEqual([])
    expect(parseSpans('x,-3')).toEqual([])
  })
})

describe('timeOf', () => {
  it('is from the first to the last segment that lacks something of the topic', () => {
    const losses = [
      { topic: '/a', lost: 1, from_ns: '20', to_ns: '30' },
      { topic: '/a', lost: 2, from_ns: '10', to_ns: '15' },
      { topic: '/b', lost: 1, from_ns: '1', to_ns: '2' },
    ]
    expect(timeOf(losses, '/a')).toEqual([10n, 30n])
    expect(timeOf(losses, '/c')).toBeUndefined()
  })
})
