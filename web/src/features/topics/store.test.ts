import { describe, expect, it } from 'vitest'

import { expectedHz, measured, select, type Topic, TopicStore } from './store'

function makeTopic(topic: string, change: Partial<Topic> = {}): Topic {
  const base = { topic, type: 'std_msgs/msg/String', robot: 'robot1', domain: 0, rate_hz: null }
  const qos = { offered: [], profiles: 1, requested: null, incompatible: [] }
  return { ...base, lost: {}, qos, ...change } as unknown as Topic
}

function offered(...deadlines: (number | null)[]): Partial<Topic> {
  const qos = { offered: deadlines.map((deadline_s) => ({ deadline_s })) }
  return { qos: { ...makeTopic('/').qos, ...qos } } as Partial<Topic>
}

describe('expectedHz', () => {
  it('is what the writer with the longest deadline promises', () => {
    expect(expectedHz(makeTopic('/a', offered(0.1, 0.5, null)))).toBe(2)
    expect(expectedHz(makeTopic('/a', offered(null)))).toBeUndefined()
  })
})

describe('TopicStore', () => {
  it('counts topics that are read and forgets those that went', () => {
    const store = new TopicStore()
    store.take([makeTopic('/b', { rate_hz: 0 }), makeTopic('/a')])
    expect(measured(store)).toBe(1)
    expect(select(store, 'string /b', 'topic', false)).toEqual(['/b 0'])
    store.take([makeTopic('/a')])
    expect(store.names).toEqual(['/a 0'])
    expect(measured(store)).toBe(0)
  })

  it('tells that there is no topic', () => {
    const store = new TopicStore()
    const before = store.names
    let told = 0
    store.watch(() => told++)
    store.take([])
    expect(told).toBe(1)
    expect(store.names).not.toBe(before)
    expect(store.names).toEqual([])
  })
})
