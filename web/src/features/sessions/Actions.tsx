import { Button, Checkbox, Group, Modal, Stack, Text, TextInput, Tooltip } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState, type ReactNode } from 'react'

import { useT } from '../../i18n'
import { kind, send } from '../../shared/api/client'
import { reaches, type Role, useRole } from '../../shared/api/query'
import { command } from '../../shared/recorder'
import { ConfirmButton, Icon, notify } from '../../shared/ui'
import { isRunning, type Session } from './model'
import { sessionPath } from './queries'

/** What can be done with a session; what the role forbids says why. */
export function Actions({ session }: { session: Session }) {
  const t = useT('sessions')
  if (session.status === 'deleted') return null
  return (
    <>
      <Button
        component={Link}
        to={`/replay/${encodeURIComponent(session.id)}`}
        leftSection={<Icon name="replay" />}
      >
        {t('common:nav.replay')}
      </Button>
      {isRunning(session) ? <Stop session={session} /> : <Delete session={session} />}
      <Keep session={session} />
    </>
  )
}

function Guarded({ role, children }: { role: Role; children: (may: boolean) => ReactNode }) {
  const t = useT('common')
  const may = reaches(useRole(), role)
  return (
    <Tooltip label={t(`why.role.${role}`)} disabled={may}>
      <span>{children(may)}</span>
    </Tooltip>
  )
}

function Stop({ session }: { session: Session }) {
  const t = useT('common')
  const client = useQueryClient()
  const go = async () => {
    try {
      await command('session.stop', { session: session.id })
      notify.ok(t('done.stop'))
    } catch (error) {
      notify.bad(error)
    }
    await client.invalidateQueries({ queryKey: ['session', session.id] })
  }
  return (
    <Guarded role="operator">
      {(may) => (
        <ConfirmButton
          size="sm"
          label={t('command.stop')}
          text={t('confirm.stop')}
          danger
          disabled={!may}
          onConfirm={go}
        />
      )}
    </Guarded>
  )
}

function Keep({ session }: { session: Session }) {
  const t = useT('sessions')
  const client = useQueryClient()
  const [busy, setBusy] = useState(false)
  if (session.keep === undefined) return null
  const go = async () => {
    setBusy(true)
    try {
      await send('PATCH', sessionPath(session.id), { keep: !session.keep })
      await client.invalidateQueries({ queryKey: ['session', session.id] })
      notify.ok(t(session.keep ? 'unkeepDone' : 'keepDone'))
    } catch (error) {
      notify.bad(error)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Guarded role="operator">
      {(may) => (
        <Button
          variant="default"
          disabled={!may}
          loading={busy}
          leftSection={<Icon name="lock" />}
          aria-pressed={session.keep}
          title={may ? t('keepHint') : undefined}
          onClick={() => void go()}
        >
          {t(session.keep ? 'unkeep' : 'keep')}
        </Button>
      )}
    </Guarded>
  )
}

function Delete({ session }: { session: Session }) {
  const t = useT('sessions')
  const [open, setOpen] = useState(false)
  return (
    <Guarded role="admin">
      {(may) => (
        <>
          <Button
            color="red"
            variant="light"
            disabled={!may}
            leftSection={<Icon name="trash" />}
            onClick={() => setOpen(true)}
          >
            {t('delete.go')}
          </Button>
          <Modal
            opened={open}
            onClose={() => setOpen(false)}
            title={t('delete.go')}
            centered
            closeButtonProps={{ 'aria-label': t('common:close') }}
          >
            {open && <DeleteForm session={session} onClose={() => setOpen(false)} />}
          </Modal>
        </>
      )}
    </Guarded>
  )
}

function DeleteForm({ session, onClose }: { session: Session; onClose: () => void }) {
  const t = useT('sessions')
  const navigate = useNavigate()
  const client = useQueryClient()
  const [why, setWhy] = useState('')
  const [force, setForce] = useState(false)
  const [busy, setBusy] = useState(false)
  const blocked = session.keep === true && !force
  const go = async () => {
    setBusy(true)
    try {
      await send('DELETE', sessionPath(session.id, deleteQuery(why, force)))
      notify.ok(t('delete.done', { name: session.name }))
      await client.invalidateQueries({ queryKey: ['sessions'] })
      await navigate({ to: '/sessions' })
    } catch (error) {
      notify.bad(error)
      setBusy(false)
    }
  }
  return (
    <Stack gap="sm">
      <Text size="sm" className="bp-break">
        {t(kind() === 'server' ? 'delete.textServer' : 'delete.textAgent', { name: session.name })}
      </Text>
      {kind() === 'agent' && !session.uploaded_ns && (
        <Text size="sm" fw={600}>
          {t('delete.notUploaded')}
        </Text>
      )}
      {kind() === 'server' && (
        <TextInput
          label={t('delete.why')}
          value={why}
          maxLength={200}
          onChange={(e) => setWhy(e.currentTarget.value)}
          data-autofocus
        />
      )}
      {session.keep === true && (
        <Checkbox
          label={t('delete.force')}
          checked={force}
          onChange={(e) => setForce(e.currentTarget.checked)}
        />
      )}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={onClose}>
          {t('common:cancel')}
        </Button>
        <Button color="red" loading={busy} disabled={blocked} onClick={() => void go()}>
          {t('delete.go')}
        </Button>
      </Group>
    </Stack>
  )
}

function deleteQuery(why: string, force: boolean): string {
  if (kind() === 'agent') return ''
  const p = new URLSearchParams()
  if (why !== '') p.set('why', why)
  if (force) p.set('force', '1')
  return p.size > 0 ? `?${p.toString()}` : ''
}
