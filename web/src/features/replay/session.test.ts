import { describe, expect, it } from 'vitest'

import { marksOf, spanOf, topicsOf } from './session'
import { bytesPerSecond, covers, isStatic, wishOf, type Interest } from './wanted'

const session = { name: 'a', status: 'finished', started_ns: '100', ended_ns: '900' }

describe('a recording', () => {
  it('lasts from its first message to its last', () => {
    const segments = [
      { first_ns: '500', last_ns: '800' },
      { first_ns: '120', last_ns: '510' },
    ]
    expect(spanOf(session, segments)).toEqual({ from: 120n, to: 801n })
    expect(spanOf(session, [{ first_ns: '0' }])).toEqual({ from: 100n, to: 900n })
    expect(spanOf({ ...session, ended_ns: null }, [])).toBeUndefined()
    expect(spanOf({ ...session, ended_ns: null }, segments)?.to).toBe(801n)
  })

  it('has the marks that lie in it, in order', () => {
    const raw = [{ time_ns: '300', text: 'b' }, { time_ns: '200', text: 'a' }, { time_ns: '1' }, {}]
    const span = { from: 100n, to: 900n }
    expect(marksOf(raw, span).map((m) => m.text)).toEqual(['a', 'b'])
    expect(marksOf(7, span)).toEqual([])
  })

  it('names a topic of two domains once', () => {
    const row = { topic: '/a', type: 't', robot: 'r', messages: 5 }
    const span = { from: 0n, to: 2_000_000_000n }
    expect(topicsOf([row, row], span)).toMatchObject([{ name: '/a', messages: 10, rateHz: 5 }])
  })
})

describe('what is asked for', () => {
  const types = new Map([
    ['/cam', 'sensor_msgs/msg/Image'],
    ['/odom', 'nav_msgs/msg/Odometry'],
  ])
  const image = (width: number): Interest => {
    return { topic: '/cam', as: 'image', params: { width, quality: 70 } }
  }

  it('is what all panels together need', () => {
    const odom: Interest = { topic: '/odom', as: 'message', params: {} }
    const other: Interest = { topic: '/gone', as: 'message', params: {} }
    const wish = wishOf([image(320), image(960), odom, odom, other], types)
    expect(wish).toEqual({
      topics: ['/cam', '/odom'],
      width: 960,
      quality: 70,
      maxPoints: undefined,
    })
  })

  it('is never a picture as text', () => {
    expect(wishOf([{ topic: '/cam', as: 'message', params: {} }], types).topics).toEqual([])
  })

  it('is not asked again when it is there', () => {
    const had = wishOf([image(960)], types)
    expect(covers(had, wishOf([image(320)], types))).toBe(true)
    expect(covers(wishOf([image(320)], types), had)).toBe(false)
    expect(covers({ topics: [] }, had)).toBe(false)
  })

  it('is cut by what it weighs', () => {
    const topics = [{ name: '/cam', type: 'sensor_msgs/msg/Image', rateHz: 30 }]
    expect(bytesPerSecond({ topics: ['/cam'], width: 640 }, topics)).toBeGreaterThan(500_000)
    expect(bytesPerSecond({ topics: [] }, topics)).toBe(0)
  })

  it('tells static transforms by their name', () => {
    expect(isStatic({ name: '/r/tf_static', type: 'tf2_msgs/msg/TFMessage' })).toBe(true)
    expect(isStatic({ name: '/tf', type: 'tf2_msgs/msg/TFMessage' })).toBe(false)
  })
})
