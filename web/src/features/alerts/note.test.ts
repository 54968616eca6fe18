import { expect, it } from 'vitest'

import { bytesOf, NOTE_BYTES } from './note'

it('counts as the API does', () => {
  expect(bytesOf(' abc ')).toBe(3)
  expect(bytesOf('ü€')).toBe(5)
  expect(bytesOf('ü'.repeat(128))).toBeGreaterThan(NOTE_BYTES)
})
