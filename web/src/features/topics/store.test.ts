import { describe, expect, it } from 'vitest'

import { TopicStore } from './store'

describe('TopicStore', () => {
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
