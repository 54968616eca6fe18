import { expect, test } from 'vitest'

import { mayShip, packageOf, page } from '../../licences'

test('packageOf: the innermost package, ours have none', () => {
  expect(packageOf('/x/node_modules/react/index.js')).toBe('/x/node_modules/react')
  expect(packageOf('/x/node_modules/@mantine/core/esm/a.mjs?v=1')).toBe(
    '/x/node_modules/@mantine/core',
  )
  expect(packageOf('\0/x/node_modules/a/node_modules/b/c.js')).toBe(
    '/x/node_modules/a/node_modules/b',
  )
  expect(packageOf('/x/src/main.tsx')).toBeUndefined()
})

test('mayShip: of alternatives one is enough, of several all must be', () => {
  expect(mayShip('MIT')).toBe(true)
  expect(mayShip('(GPL-3.0 OR CC0-1.0)')).toBe(true)
  expect(mayShip('MIT AND GPL-3.0')).toBe(false)
  expect(mayShip('UNLICENSED')).toBe(false)
})

test('page: packages of one text stand together', () => {
  const of = (name: string, text: string) => ({ name, version: '1.0.0', licence: 'MIT', text })
  const got = page([of('b', 'one'), of('c', 'two'), of('a', 'one')])
  expect(got).toContain('a 1.0.0 (MIT)\nb 1.0.0 (MIT)\n\none\n')
  expect(got.match(/two/g)).toHaveLength(1)
})
