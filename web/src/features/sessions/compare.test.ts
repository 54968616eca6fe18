import { describe, expect, it } from 'vitest'

import { pairTopics, same } from './compare'
import type { SessionTopic } from './model'

function topic(name: string, messages: number, more: Partial<SessionTopic> = {}): SessionTopic {
  return { topic: name, type: 'T', robot: 'r', messages, lost: 0, ...more }
}

function differs(a: SessionTopic[], b: SessionTopic[], secondsB = 10) {
  return pairTopics(a, b, 10, secondsB).map((p) => [p.topic, [...p.differs]])
}

describe('pairTopics', () => {
  it('says which topic is in one of them only', () => {
    expect(differs([topic('/a', 1), topic('/b', 1)], [topic('/b', 1), topic('/c', 1)])).toEqual([
      ['/a', ['there']],
      ['/b', []],
      ['/c', ['there']],
    ])
  })

  it('compares rates, not counts, of sessions of other lengths', () => {
    expect(differs([topic('/a', 100)], [topic('/a', 1000)], 100)).toEqual([['/a', []]])
    expect(differs([topic('/a', 100)], [topic('/a', 80)])).toEqual([['/a', ['rate']]])
    expect(differs([topic('/a', 100)], [topic('/a', 95)])).toEqual([['/a', []]])
  })

  it('gives latched topics no rate', () => {
    expect(differs([topic('/a', 1)], [topic('/a', 1)], 100)).toEqual([['/a', []]])
  })

  it('marks types and losses; what was left out as asked is no loss', () => {
    const b = topic('/a', 100, { type: 'U', lost: { transport: 2, paused: 5 } })
    expect(differs([topic('/a', 100)], [b])).toEqual([['/a', ['type', 'lost']]])
    expect(pairTopics([], [b], 1, 1)[0]?.b?.lost).toBe(2)
  })

  it('sums up a name of several robots', () => {
    const [pair] = pairTopics([topic('/a', 10), topic('/a', 5, { robot: 'q' })], [], 10, 10)
    expect(pair?.a).toEqual({ type: 'T', messages: 15, rate: 1.5, lost: 0 })
  })
})

describe('same', () => {
  it('looks into lists', () => {
    expect(same(['a'], ['a'])).toBe(true)
    expect(same(['a'], ['b'])).toBe(false)
    expect(same(undefined, undefined)).toBe(true)
  })
})
