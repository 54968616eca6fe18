import {
  Alert,
  Button,
  Code,
  Group,
  NumberInput,
  PasswordInput,
  Select,
  Stack,
  Table,
  Text,
  TextInput,
  Title,
} from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, type ReactNode, useState } from 'react'

import { useT } from '../../i18n'
import { request, send } from '../../shared/api/client'
import { ConfirmButton, Empty, ErrorState, Loading, notify, State } from '../../shared/ui'

interface UserRow {
  name: string
  role: string
  disabled?: boolean
}

interface TokenRow {
  name: string
  role: string
}

export function Accounts() {
  return (
    <Stack gap="xl">
      <Users />
      <Tokens />
    </Stack>
  )
}

function useDo(key: string) {
  const client = useQueryClient()
  return async <T,>(go: () => Promise<T>): Promise<T | undefined> => {
    try {
      const answer = await go()
      await client.invalidateQueries({ queryKey: [key] })
      await client.invalidateQueries({ queryKey: ['whoami'] })
      return answer
    } catch (error) {
      notify.bad(error)
      return undefined
    }
  }
}

function RoleSelect({ value, onChange }: { value: string; onChange: (role: string) => void }) {
  const t = useT('settings')
  return (
    <Select
      label={t('role')}
      data={['viewer', 'operator', 'admin'].map((r) => ({
        value: r,
        label: t(`common:role.${r}`),
      }))}
      value={value}
      allowDeselect={false}
      onChange={(v) => v !== null && onChange(v)}
    />
  )
}

interface ListProps {
  rows: { name: string; role: string; state: ReactNode }[]
  remove: (name: string) => Promise<unknown>
}

function List({ rows, remove }: ListProps) {
  const t = useT('settings')
  if (rows.length === 0) return <Empty icon="user" title={t('none')} />
  return (
    <Table>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{t('name')}</Table.Th>
          <Table.Th>{t('role')}</Table.Th>
          <Table.Th>{t('state')}</Table.Th>
          <Table.Th />
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {rows.map((r) => (
          <Table.Tr key={r.name}>
            <Table.Td className="bp-break">{r.name}</Table.Td>
            <Table.Td>{t(`common:role.${r.role}`)}</Table.Td>
            <Table.Td>{r.state}</Table.Td>
            <Table.Td ta="right">
              <ConfirmButton
                label={t('remove')}
                text={t('removeText', { name: r.name })}
                danger
                onConfirm={async () => void (await remove(r.name))}
              />
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  )
}

function Users() {
  const t = useT('settings')
  const act = useDo('users')
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [role, setRole] = useState('viewer')
  const { data, error } = useQuery({
    queryKey: ['users'],
    queryFn: () => request<{ users: UserRow[] }>('api/v1/users'),
  })
  const add = async (e: FormEvent) => {
    e.preventDefault()
    const made = await act(async () => {
      await send('POST', 'api/v1/users', { name, role, password })
      return true
    })
    if (!made) return
    setName('')
    setPassword('')
  }
  return (
    <Stack>
      <Title order={2} size="h4">
        {t('users')}
      </Title>
      <Text size="sm" c="dimmed">
        {t('usersHint')}
      </Text>
      {error && <ErrorState error={error} />}
      {!data && !error && <Loading />}
      {data && (
        <List
          rows={data.users.map((u) => ({
            name: u.name,
            role: u.role,
            state: (
              <State
                kind={u.disabled ? 'idle' : 'ok'}
                label={t(u.disabled ? 'disabled' : 'active')}
              />
            ),
          }))}
          remove={(one) => act(() => send('DELETE', `api/v1/users/${encodeURIComponent(one)}`))}
        />
      )}
      <form onSubmit={(e) => void add(e)}>
        <Group align="end">
          <TextInput
            label={t('name')}
            required
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
          />
          <PasswordInput
            label={t('common:signIn.password')}
            required
            autoComplete="new-password"
            miw={200}
            visibilityToggleButtonProps={{ 'aria-label': t('common:signIn.show') }}
            value={password}
            onChange={(e) => setPassword(e.currentTarget.value)}
          />
          <RoleSelect value={role} onChange={setRole} />
          <Button type="submit">{t('add')}</Button>
        </Group>
      </form>
    </Stack>
  )
}

function Tokens() {
  const t = useT('settings')
  const act = useDo('tokens')
  const [name, setName] = useState('')
  const [role, setRole] = useState('viewer')
  const [days, setDays] = useState<number | string>(90)
  const [secret, setSecret] = useState('')
  const { data, error } = useQuery({
    queryKey: ['tokens'],
    queryFn: () => request<{ tokens: TokenRow[] }>('api/v1/tokens'),
  })
  const add = async (e: FormEvent) => {
    e.preventDefault()
    const lifetime = typeof days === 'number' && days > 0 ? { lifetime_s: days * 86400 } : {}
    const made = await act(() =>
      send<{ token: string }>('POST', 'api/v1/tokens', { name, role, ...lifetime }),
    )
    if (!made) return
    setSecret(made.token)
    setName('')
  }
  return (
    <Stack>
      <Title order={2} size="h4">
        {t('tokens')}
      </Title>
      {error && <ErrorState error={error} />}
      {!data && !error && <Loading />}
      {data && (
        <List
          rows={data.tokens.map((k) => ({
            name: k.name,
            role: k.role,
            state: <State kind="ok" label={t('active')} />,
          }))}
          remove={(one) => act(() => send('DELETE', `api/v1/tokens/${encodeURIComponent(one)}`))}
        />
      )}
      {secret && (
        <Alert
          color="green"
          title={t('tokenOnce')}
          withCloseButton
          onClose={() => setSecret('')}
          closeButtonLabel={t('common:close')}
        >
          <Code className="bp-break">{secret}</Code>
        </Alert>
      )}
      <form onSubmit={(e) => void add(e)}>
        <Group align="end">
          <TextInput
            label={t('name')}
            required
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
          />
          <RoleSelect value={role} onChange={setRole} />
          <NumberInput label={t('days')} min={0} value={days} onChange={setDays} />
          <Button type="submit">{t('make')}</Button>
        </Group>
      </form>
    </Stack>
  )
}
