import { describe, expect, it } from 'vitest'

import { formatBytes, formatNumber } from './numbers'

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [12_345_678, '12.3 MB'],
    [270_553_174_016, '271 GB'],
  ])('%d', (n, want) => expect(formatBytes(n)).toBe(want))
  it('counts by 1024 when told', () => expect(formatBytes(1536, 'binary')).toBe('1.50 KiB'))
})

describe('formatNumber', () => {
  it('parts thousands', () => expect(formatNumber(1234567.5, 1)).toBe('1\u202f234\u202f567.5'))
})
