import { describe, expect, it } from 'vitest'

import { addPanel, COLUMNS, emptyLayout, parseLayout, place, removePanel, settle } from './layout'
import { streamTopic } from './liveSource'
import { numberAt, numericFields, stampOf, valueAt } from './paths'
import { States } from './plot/states'
import { Series } from './series'
import { compose, Frames, invert, type Pose } from './scene/transforms'

const pose = (x: number, y = 0, yaw = 0): Pose => ({
  p: { x, y, z: 0 },
  q: { x: 0, y: 0, z: Math.sin(yaw / 2), w: Math.cos(yaw / 2) },
})

describe('layout', () => {
  it('never puts two panels on one place', () => {
    let l = emptyLayout('a')
    for (const kind of ['plot', 'image', 'scene', 'map', 'log'] as const) l = addPanel(l, kind)
    l = place(l, 'p1', { x: 3, y: 2, w: 9, h: 7 })
    const cells = new Set<string>()
    for (const p of l.panels) {
      expect(p.x + p.w).toBeLessThanOrEqual(COLUMNS)
      for (let x = p.x; x < p.x + p.w; x++) {
        for (let y = p.y; y < p.y + p.h; y++) {
          expect(cells.has(`${x},${y}`)).toBe(false)
          cells.add(`${x},${y}`)
        }
      }
    }
    expect(removePanel(l, 'p2').panels).toHaveLength(4)
  })

  it('lets panels rise to the top', () => {
    const panel = { id: 'a', kind: 'raw', config: {}, x: 0, y: 9, w: 2, h: 3 } as const
    expect(settle([panel])[0]?.y).toBe(0)
  })

  it('reads what it wrote and refuses what is none', () => {
    const l = addPanel(emptyLayout('x'), 'plot', { fields: [] })
    expect(parseLayout(JSON.parse(JSON.stringify(l)))).toEqual(l)
    for (const bad of [null, 7, {}, { version: 2, name: 'x', panels: [] }]) {
      expect(parseLayout(bad)).toBeUndefined()
    }
    const odd = [{ kind: 'nothing' }, null, { kind: 'raw', x: 1e9, y: -5, w: 99, h: 0 }]
    expect(parseLayout({ version: 1, name: 'x', panels: odd })?.panels).toHaveLength(1)
  })
})

describe('fields', () => {
  const message = {
    header: { stamp: { sec: 5, nanosec: 7 }, frame_id: 'a' },
    ok: true,
    big: '9007199254740993',
    a: [{ b: 2.5 }],
  }
  it('are found by path', () => {
    expect(valueAt(message, 'a[0].b')).toBe(2.5)
    expect(valueAt(message, 'a[1].b')).toBeUndefined()
    expect(valueAt(message, 'constructor.name')).toBeUndefined()
    expect(numberAt(message, 'ok')).toBe(1)
    expect(stampOf(message)).toBe(5_000_000_007n)
  })
  it('are listed when they can be drawn', () => {
    const paths = numericFields(message).map((f) => f.path)
    expect(paths).toEqual(['header.stamp', 'ok', 'big', 'a[0].b'])
  })
})

describe('series', () => {
  it('keeps the extremes of each column', () => {
    const s = new Series()
    for (let i = 0; i < 10_000; i++) s.push(i / 1000, i === 5432 ? 99 : Math.sin(i))
    const out: (number | null)[] = []
    s.envelope(0, 10, 100, out)
    expect(Math.max(...out.map((v) => v ?? 0))).toBe(99)
    expect(out.indexOf(99) >> 1).toBe(54)
    s.trim(9)
    expect(s.length).toBe(1000)
    s.push(1, 5)
    expect(s.length).toBe(1000)
    expect(s.at(9.5)).toBeCloseTo(Math.sin(9500))
  })
})

describe('the past of a series', () => {
  it('goes before what has come', () => {
    const s = new Series()
    s.push(10, 1)
    s.push(11, 2)
    s.prepend([7, 8, 10, 10.5], [3, 4, 5, 6])
    s.prepend([5, 6, 7], [7, 8, 9])
    s.push(12, 0)
    expect(s.length).toBe(7)
    expect([5, 6, 7, 8, 10, 11, 12].map((t) => s.at(t))).toEqual([7, 8, 3, 4, 1, 2, 0])
  })

  it('of a state too', () => {
    const s = new States()
    s.push(10, 'go')
    s.push(12, 'go')
    s.prepend([
      { time: 6, value: 'halt' },
      { time: 8, value: 'go' },
      { time: 11, value: 'other' },
    ])
    const told = s.between(0, 20).map((x) => [x.from, x.to, x.value])
    expect(told).toEqual([
      [6, 8, 'halt'],
      [8, 12, 'go'],
    ])
  })
})

describe('frames', () => {
  it('are found through the tree', () => {
    const f = new Frames()
    f.set('map', 'odom', pose(1))
    f.set('odom', 'base', pose(2, 0, Math.PI / 2))
    f.set('base', 'lidar', pose(0.5))
    const at = f.lookup('map', 'lidar')
    expect(at?.p.x).toBeCloseTo(3)
    expect(at?.p.y).toBeCloseTo(0.5)
    expect(f.lookup('lidar', 'map')?.p.x).toBeCloseTo(-0.5)
    expect(f.lookup('map', 'elsewhere')).toBeUndefined()
    expect(f.mainRoot()).toBe('map')
    const p = pose(3, 4, 1)
    expect(compose(p, invert(p)).p.x).toBeCloseTo(0)
  })
  it('end in spite of a loop', () => {
    const f = new Frames()
    f.set('a', 'b', pose(1))
    f.set('b', 'a', pose(1))
    expect(() => f.lookup('a', 'b')).not.toThrow()
  })
})

describe('streams', () => {
  it('are named as the events protocol spells them', () => {
    expect(streamTopic('image', '/a/b', { width: 640, quality: 70, max: 5 })).toBe(
      'image:/a/b?width=640&quality=70',
    )
    expect(streamTopic('points', '/l', { max: 20000 })).toBe('points:/l?max=20000')
  })
})
