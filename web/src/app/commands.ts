import type { Kind } from '../shared/api/client'
import { reaches, type Role } from '../shared/api/query'
import { command, type Recorder, type RecorderCommand } from '../shared/recorder'
import { getSettings, setSettings } from '../shared/settings'
import type { IconName } from '../shared/ui/icons'
import { notify } from '../shared/ui/notify'
import { translate } from '../i18n'
import { openDialog } from './dialogs'

export interface CommandContext {
  kind: Kind
  role: Role | null
  online: boolean
  recorder: Recorder
  navigate: (path: string) => void
}

export interface Command {
  id: string
  /** key of common.json */
  title: string
  icon?: IconName
  /** as KeyboardEvent has it, with Ctrl+, Alt+ or Shift+ before */
  keys?: string
  role: Role
  /** true, or the key of the reason why not */
  when: (ctx: CommandContext) => true | string
  run: (ctx: CommandContext) => void | Promise<void>
}

function ready(ctx: CommandContext): true | string {
  if (!ctx.online) return 'why.offline'
  if (ctx.kind === 'server' && ctx.recorder.device === '') return 'why.noRobot'
  return ctx.recorder.known ? true : 'why.unknown'
}

function running(ctx: CommandContext): true | string {
  const ok = ready(ctx)
  if (ok !== true) return ok
  if (ctx.recorder.running === 0) return 'why.notRecording'
  return ctx.recorder.running > 1 ? 'why.several' : true
}

async function tell(name: RecorderCommand, done: string): Promise<void> {
  try {
    await command(name)
    notify.ok(translate(`common:${done}`))
  } catch (error) {
    notify.bad(error)
  }
}

/** All commands: buttons, shortcuts and the palette come from here. */
export const commands: Command[] = [
  {
    id: 'session.start',
    title: 'command.start',
    icon: 'record',
    keys: 'r',
    role: 'operator',
    when: ready,
    run: () => openDialog({ kind: 'start' }),
  },
  {
    id: 'session.stop',
    title: 'command.stop',
    icon: 'stop',
    keys: 'Shift+S',
    role: 'operator',
    when: running,
    run: () =>
      openDialog({
        kind: 'confirm',
        title: 'command.stop',
        text: 'confirm.stop',
        danger: true,
        go: () => tell('session.stop', 'done.stop'),
      }),
  },
  {
    id: 'session.pause',
    title: 'command.pause',
    icon: 'pause',
    keys: 'p',
    role: 'operator',
    when: (ctx) => {
      const ok = running(ctx)
      return ok === true && ctx.recorder.paused > 0 ? 'why.paused' : ok
    },
    run: () =>
      openDialog({
        kind: 'confirm',
        title: 'command.pause',
        text: 'confirm.pause',
        go: () => tell('session.pause', 'done.pause'),
      }),
  },
  {
    id: 'session.resume',
    title: 'command.resume',
    icon: 'play',
    keys: 'Shift+P',
    role: 'operator',
    when: (ctx) => {
      const ok = running(ctx)
      return ok === true && ctx.recorder.paused === 0 ? 'why.notPaused' : ok
    },
    run: () => tell('session.resume', 'done.resume'),
  },
  {
    id: 'session.split',
    title: 'command.split',
    icon: 'split',
    role: 'operator',
    when: running,
    run: () => tell('session.split', 'done.split'),
  },
  {
    id: 'session.mark',
    title: 'command.mark',
    icon: 'mark',
    keys: 'm',
    role: 'operator',
    when: running,
    run: () => openDialog({ kind: 'mark' }),
  },
  {
    id: 'snapshot',
    title: 'command.snapshot',
    icon: 'snapshot',
    role: 'operator',
    when: ready,
    run: () => openDialog({ kind: 'snapshot' }),
  },
  {
    id: 'sync.now',
    title: 'command.syncNow',
    icon: 'sync',
    role: 'operator',
    when: ready,
    run: () => tell('sync.now', 'done.syncNow'),
  },
  {
    id: 'palette',
    title: 'command.palette',
    icon: 'search',
    keys: 'Ctrl+k',
    role: 'viewer',
    when: () => true,
    run: () => openDialog({ kind: 'palette' }),
  },
  {
    id: 'theme',
    title: 'command.theme',
    icon: 'contrast',
    role: 'viewer',
    when: () => true,
    run: () => {
      const next = { auto: 'light', light: 'dark', dark: 'auto' } as const
      setSettings({ scheme: next[getSettings().scheme] })
    },
  },
]

export function findCommand(id: string): Command | undefined {
  return commands.find((c) => c.id === id)
}

/** true, or the key of the reason why whoever looks may not. */
export function allowed(c: Command, ctx: CommandContext): true | string {
  if (!reaches(ctx.role, c.role)) return `why.role.${c.role}`
  return c.when(ctx)
}

/** Whether the key that was pressed is that of a command. */
export function matches(
  keys: string,
  e: { key: string; ctrlKey: boolean; metaKey: boolean; altKey: boolean; shiftKey: boolean },
): boolean {
  const parts = keys.split('+')
  const key = parts[parts.length - 1] ?? ''
  return (
    e.key.toLowerCase() === key.toLowerCase() &&
    (e.ctrlKey || e.metaKey) === parts.includes('Ctrl') &&
    e.altKey === parts.includes('Alt') &&
    e.shiftKey === parts.includes('Shift')
  )
}
