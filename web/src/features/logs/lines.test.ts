import { describe, expect, it } from 'vitest'

import { append, type Level, type LogLine, pick, sourcesOf, split } from './lines'

function line(number: number, text = 'ready', level: Level = 'info'): LogLine {
  return { number, time_ns: '1', level, text, cut: false }
}

describe('lines of the log', () => {
  it('are split into message and fields', () => {
    expect(split("offline: nobody listens at 'a=b c'  target=upstream  file=")).toEqual({
      message: "offline: nobody listens at 'a=b c'",
      fields: [
        { key: 'target', value: 'upstream' },
        { key: 'file', value: '' },
      ],
    })
    expect(split('two  spaces stay').message).toBe('two  spaces stay')
  })

  it('say whom they are about', () => {
    expect(sourcesOf(line(1, 'started  session=a b  id=1'))).toEqual(['session=a b'])
  })

  it('are taken once, and the oldest go', () => {
    const old = [line(1), line(2)]
    expect(append(old, [line(2)])).toBe(old)
    expect(append(old, [line(2), line(3)]).map((l) => l.number)).toEqual([1, 2, 3])
    const many = Array.from({ length: 6000 }, (_, i) => line(i + 3))
    const kept = append(old, many)
    expect(kept.length).toBe(5000)
    expect(kept[4999]?.number).toBe(6002)
  })

  it('are filtered by level, text and source, newest first', () => {
    const lines = [
      line(1, 'a  session=x', 'error'),
      line(2, 'B  session=y', 'warning'),
      line(3, 'b', 'debug'),
    ]
    const all = { level: 'debug' as const, find: '', source: '' }
    expect(pick(lines, all).map((l) => l.number)).toEqual([3, 2, 1])
    expect(pick(lines, { ...all, level: 'warning' }).map((l) => l.number)).toEqual([2, 1])
    expect(pick(lines, { ...all, find: 'b' }).map((l) => l.number)).toEqual([3, 2])
    expect(pick(lines, { ...all, source: 'session=y' }).map((l) => l.number)).toEqual([2])
  })
})
