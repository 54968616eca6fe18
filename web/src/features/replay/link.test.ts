import { describe, expect, it } from 'vitest'

import { addPanel, emptyLayout } from '../../shared/panels/layout'
import { actionOf, nextRate } from './keys'
import { layoutText, offsetText, parseLayoutText, parseLink, parseOffset } from './link'
import { RATES } from './player'
import { shownTopics } from './shown'

describe('links', () => {
  it('lead to the very nanosecond', () => {
    for (const ns of [0n, 1n, 500_000_000n, 12_345_678_901n, 86_400_000_000_007n]) {
      expect(parseOffset(offsetText(ns))).toBe(ns)
      // as the router hands it on
      expect(parseOffset(JSON.parse(offsetText(ns)))).toBe(ns)
    }
    for (const bad of ['', '-1', '1e3', 'x', null, {}, '1.2.3', NaN, Infinity]) {
      expect(parseOffset(bad)).toBeUndefined()
    }
  })

  it('carry the layout, whatever its name', () => {
    const layout = addPanel(emptyLayout('Prüfung ✓ <b>'), 'plot', { topic: '/a' })
    const text = layoutText(layout) ?? ''
    expect(text).toMatch(/^[\w-]+$/)
    expect(parseLayoutText(text)).toEqual(layout)
  })

  it('that are broken say nothing', () => {
    for (const bad of ['%', 'AAAA', btoa('{"version":9}'), 7, 'x'.repeat(9000)]) {
      expect(parseLayoutText(bad)).toBeUndefined()
    }
    expect(parseLink({ t: 1.5 })).toEqual({ offset: 1_500_000_000n, layout: undefined })
  })
})

describe('topics that are shown', () => {
  it('are those of the panels, and transforms where there is 3D', () => {
    const topics = ['/a', '/b', '/tf'].map((name) => {
      return { name, type: name === '/tf' ? 'tf2_msgs/msg/TFMessage' : 't' }
    })
    const plot = addPanel(emptyLayout('x'), 'plot', { fields: [{ topic: '/a', path: 'x' }] })
    expect(shownTopics(plot, topics)).toEqual(['/a'])
    expect(shownTopics(addPanel(plot, 'scene', { topics: ['/b'] }), topics)).toEqual([
      '/a',
      '/b',
      '/tf',
    ])
  })
})

describe('keys', () => {
  const press = (key: string, more = {}) =>
    actionOf({ key, shiftKey: false, ctrlKey: false, altKey: false, metaKey: false, ...more })

  it('jump as far as the keys beside them say', () => {
    expect(press('ArrowRight')).toEqual({ do: 'jump', ms: 100 })
    expect(press('ArrowLeft', { shiftKey: true })).toEqual({ do: 'jump', ms: -10 })
    expect(press('ArrowLeft', { altKey: true })).toEqual({ do: 'jump', ms: -500 })
    expect(press('ArrowRight', { ctrlKey: true })).toEqual({ do: 'jump', ms: 500 })
  })

  it('leave to the browser what is its own', () => {
    expect(press('l', { ctrlKey: true })).toBeUndefined()
    expect(press('ArrowLeft', { metaKey: true })).toBeUndefined()
    expect(press('toString')).toBeUndefined()
    expect(press('x')).toBeUndefined()
    expect(press(' ')).toEqual({ do: 'toggle' })
    expect(press('[', { ctrlKey: false, altKey: true })).toEqual({ do: 'from' })
  })

  it('change the rate by one', () => {
    expect(nextRate(RATES, 1, true)).toBe(2)
    expect(nextRate(RATES, 1, false)).toBe(0.5)
    expect(nextRate(RATES, 10, true)).toBe(10)
    expect(nextRate(RATES, 0.01, false)).toBe(0.01)
  })
})
