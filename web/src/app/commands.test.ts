import { describe, expect, it, vi } from 'vitest'

vi.mock('../i18n', () => ({ translate: (k: string) => k }))

import { allowed, type CommandContext, findCommand, matches } from './commands'

const base: CommandContext = {
  kind: 'agent',
  role: 'operator',
  online: true,
  recorder: { device: '', known: true, state: 'recording', running: 1, paused: 0 },
  navigate: () => undefined,
}

function why(id: string, change: Partial<CommandContext>): true | string | undefined {
  const c = findCommand(id)
  return c && allowed(c, { ...base, ...change })
}

describe('commands', () => {
  it('say why they cannot be done', () => {
    expect(why('session.stop', {})).toBe(true)
    expect(why('session.stop', { role: 'viewer' })).toBe('why.role.operator')
    expect(why('session.stop', { online: false })).toBe('why.offline')
    expect(why('session.resume', {})).toBe('why.notPaused')
    expect(why('session.start', { kind: 'server' })).toBe('why.noRobot')
    expect(why('session.pause', { recorder: { ...base.recorder, paused: 1 } })).toBe('why.paused')
    expect(why('session.resume', { recorder: { ...base.recorder, paused: 1 } })).toBe(true)
    expect(why('session.mark', { recorder: { ...base.recorder, running: 2 } })).toBe('why.several')
  })
})

describe('matches', () => {
  const none = { ctrlKey: false, metaKey: false, altKey: false, shiftKey: false }
  it('wants exactly the keys', () => {
    expect(matches('Ctrl+k', { ...none, key: 'k', ctrlKey: true })).toBe(true)
    expect(matches('Ctrl+k', { ...none, key: 'k', metaKey: true })).toBe(true)
    expect(matches('m', { ...none, key: 'm', ctrlKey: true })).toBe(false)
    expect(matches('Shift+P', { ...none, key: 'P', shiftKey: true })).toBe(true)
    expect(matches('p', { ...none, key: 'P', shiftKey: true })).toBe(false)
  })
})
