import {
  Alert,
  Button,
  Modal,
  PasswordInput,
  SegmentedControl,
  Stack,
  Text,
  TextInput,
} from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useEffect, useState } from 'react'

import { useT } from '../i18n'
import { onDenied, send } from '../shared/api/client'
import { useWhoami } from '../shared/api/query'
import { retryLive, useConnection } from '../shared/live'
import { errorText } from '../shared/ui'

/** Over the page, which stays as it is: when the login has ended, one goes on where one was. */
export function SignIn() {
  const t = useT('common')
  const who = useWhoami()
  const client = useQueryClient()
  const state = useConnection().state
  const [denied, setDenied] = useState(false)

  useEffect(() => onDenied(() => setDenied(true)), [])
  // A refused handshake tells no status: ask whether we are still known.
  useEffect(() => {
    if (state === 'offline' || state === 'denied') {
      void client.invalidateQueries({ queryKey: ['whoami'] })
    }
  }, [state, client])

  const needed = (who !== undefined && who.role === null) || denied
  const done = async () => {
    setDenied(false)
    await client.invalidateQueries()
    retryLive()
  }
  return (
    <Modal
      opened={needed}
      onClose={() => undefined}
      withCloseButton={false}
      closeOnEscape={false}
      closeOnClickOutside={false}
      centered
      title={t('signIn.title')}
    >
      {needed && <SignInForm onDone={done} hint={who?.note} />}
    </Modal>
  )
}

function SignInForm({ onDone, hint }: { onDone: () => Promise<void>; hint: string | undefined }) {
  const t = useT('common')
  const [user, setUser] = useState('')
  const [password, setPassword] = useState('')
  const [by, setBy] = useState<'password' | 'token'>('password')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState('')
  const submit = async (e: FormEvent) => {
    e.preventDefault()
    setBusy(true)
    setError('')
    try {
      await send('POST', 'api/v1/login', by === 'token' ? { token: password } : { user, password })
      await onDone()
    } catch (cause) {
      setError(errorText(cause))
    } finally {
      setBusy(false)
    }
  }
  return (
    <form onSubmit={(e) => void submit(e)}>
      <Stack gap="sm">
        <Text size="sm" c="dimmed">
          {hint ?? t('signIn.hint')}
        </Text>
        <SegmentedControl
          aria-label={t('signIn.by')}
          value={by}
          onChange={(v) => {
            setBy(v === 'token' ? 'token' : 'password')
            setPassword('')
            setError('')
          }}
          data={[
            { value: 'password', label: t('signIn.password') },
            { value: 'token', label: t('signIn.token') },
          ]}
        />
        {by === 'password' && (
          <TextInput
            label={t('signIn.user')}
            value={user}
            onChange={(e) => setUser(e.currentTarget.value)}
            autoComplete="username"
            required
            data-autofocus
          />
        )}
        <PasswordInput
          label={t(by === 'token' ? 'signIn.token' : 'signIn.password')}
          value={password}
          onChange={(e) => setPassword(e.currentTarget.value)}
          autoComplete={by === 'token' ? 'off' : 'current-password'}
          visibilityToggleButtonProps={{ 'aria-label': t('signIn.show') }}
          required
        />
        {error && (
          <Alert color="red" role="alert">
            {error}
          </Alert>
        )}
        <Button type="submit" loading={busy}>
          {t('signIn.go')}
        </Button>
      </Stack>
    </form>
  )
}
