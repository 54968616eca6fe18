import { describe, expect, it } from 'vitest'

import type { Segment, Session } from './model'
import { replayBegin, replaySeconds } from './replayLink'

const session = { id: 's', started_ns: '1000' } as Session
const segment = (first_ns: string | null): Segment => ({
  name: 'x',
  bytes: 0,
  complete: true,
  first_ns,
})

describe('replayBegin', () => {
  it('is the first message of all segments, else the begin of the session', () => {
    expect(replayBegin(session, [segment('5000'), segment('3000'), segment(null)])).toBe(3000n)
    expect(replayBegin(session, [segment('0')])).toBe(1000n)
    expect(replayBegin(session, [])).toBe(1000n)
  })
})

describe('replaySeconds', () => {
  it('are to the millisecond, and not before the beginning', () => {
    expect(replaySeconds(3_500_400_000n, 1_000_000_000n)).toBe(2.5)
    expect(replaySeconds(5n, 1_000_000_000n)).toBe(0)
  })
})
