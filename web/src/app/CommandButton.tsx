import { Button, Tooltip } from '@mantine/core'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'

import { useT } from '../i18n'
import { kind } from '../shared/api/client'
import { useRole } from '../shared/api/query'
import { useConnection } from '../shared/live'
import { useRecorder } from '../shared/recorder'
import { Icon } from '../shared/ui'
import { allowed, type Command, type CommandContext, findCommand } from './commands'

export function useCommandContext(): CommandContext {
  const role = useRole()
  const online = useConnection().state === 'open'
  const recorder = useRecorder()
  const navigate = useNavigate()
  return { kind: kind(), role, online, recorder, navigate: (to) => void navigate({ to }) }
}

interface CommandButtonProps {
  id: string
  variant?: string
  size?: string
}

/** A button of the table of commands; it says why when it cannot be pressed. */
export function CommandButton({ id, ...look }: CommandButtonProps) {
  const c = findCommand(id)
  return c ? <CommandButtonOf command={c} {...look} /> : null
}

interface OfProps {
  command: Command
  variant?: string
  size?: string
}

function CommandButtonOf({ command: c, variant = 'default', size = 'sm' }: OfProps) {
  const t = useT('common')
  const ctx = useCommandContext()
  const [busy, setBusy] = useState(false)
  const may = allowed(c, ctx)
  const run = async () => {
    setBusy(true)
    try {
      await c.run(ctx)
    } finally {
      setBusy(false)
    }
  }
  const hint = may === true ? (c.keys ? t('key', { keys: c.keys }) : '') : t(may)
  return (
    <Tooltip label={hint} disabled={hint === ''} events={{ hover: true, focus: true, touch: true }}>
      <Button
        variant={variant}
        size={size}
        loading={busy}
        leftSection={c.icon && <Icon name={c.icon} />}
        aria-disabled={may !== true}
        data-disabled={may !== true || undefined}
        onClick={(e) => (may === true ? void run() : e.preventDefault())}
      >
        {t(c.title)}
      </Button>
    </Tooltip>
  )
}
