import { ActionIcon, Group, Menu, Select, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'

import { useT } from '../i18n'
import { kind, request, send } from '../shared/api/client'
import { useDenied, useWhoami } from '../shared/api/query'
import { useConnection } from '../shared/live'
import { setSettings, useSettings } from '../shared/settings'
import { Icon, notify, State, type StateKind } from '../shared/ui'
import { findCommand } from './commands'
import { useCommandContext } from './CommandButton'

/** Right side of the header: robot, connection, search, user. */
export function HeaderTools() {
  const t = useT('common')
  const ctx = useCommandContext()
  return (
    <Group gap="xs" wrap="nowrap">
      {kind() === 'server' && <RobotSwitcher />}
      <ConnectionState />
      <ActionIcon
        variant="default"
        size="lg"
        aria-label={t('command.palette')}
        onClick={() => void findCommand('palette')?.run(ctx)}
      >
        <Icon name="search" />
      </ActionIcon>
      <ThemeMenu />
      <UserMenu />
    </Group>
  )
}

interface RobotRow {
  robot: string | null
  device: string
  name: string
  state: string
}

function RobotSwitcher() {
  const t = useT('common')
  const { robot } = useSettings()
  const { data } = useQuery({
    queryKey: ['robots'],
    queryFn: () => request<{ robots: RobotRow[] }>('api/v1/robots'),
  })
  const names = new Map<string, string[]>()
  for (const r of data?.robots ?? []) {
    const known = names.get(r.device) ?? [r.name]
    names.set(r.device, r.robot === null || known.includes(r.robot) ? known : [...known, r.robot])
  }
  const options = [...names].map(([value, [name = value, ...of]]) => ({
    value,
    label: of.length > 0 ? `${name} (${of.join(', ')})` : name,
  }))
  return (
    <Select
      aria-label={t('robot')}
      placeholder={t('allRobots')}
      data={options}
      value={names.has(robot) ? robot : null}
      onChange={(value) => setSettings({ robot: value ?? '' })}
      clearable
      clearButtonProps={{ 'aria-label': t('allRobots') }}
      size="xs"
      w={{ base: 120, sm: 190 }}
      leftSection={<Icon name="robot" size={16} />}
    />
  )
}

function ConnectionState() {
  const t = useT('common')
  const c = useConnection()
  const state = useDenied() ? 'denied' : c.state
  const kinds: Record<typeof c.state, StateKind> = {
    open: 'ok',
    connecting: 'unknown',
    offline: 'bad',
    denied: 'warn',
  }
  return (
    <Group gap={6} wrap="nowrap" visibleFrom="sm">
      <State kind={kinds[state]} label={t(`connection.${state}`)} icon="network" />
      {c.state === 'open' && c.latencyMs !== undefined && (
        <Text size="xs" c="dimmed" w={48} ta="right" className="bp-num">
          {Math.round(c.latencyMs)} ms
        </Text>
      )}
    </Group>
  )
}

function ThemeMenu() {
  const t = useT('common')
  const s = useSettings()
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <ActionIcon variant="default" size="lg" aria-label={t('look')}>
          <Icon name={s.scheme === 'dark' ? 'moon' : s.scheme === 'light' ? 'sun' : 'contrast'} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{t('theme.title')}</Menu.Label>
        {(['auto', 'light', 'dark'] as const).map((scheme) => (
          <Menu.Item
            key={scheme}
            role="menuitemradio"
            aria-checked={s.scheme === scheme}
            rightSection={s.scheme === scheme && <Icon name="ok" size={14} />}
            onClick={() => setSettings({ scheme })}
          >
            {t(`theme.${scheme}`)}
          </Menu.Item>
        ))}
        <Menu.Item
          role="menuitemcheckbox"
          aria-checked={s.contrast}
          rightSection={s.contrast && <Icon name="ok" size={14} />}
          onClick={() => setSettings({ contrast: !s.contrast })}
        >
          {t('theme.contrast')}
        </Menu.Item>
        <Menu.Label>{t('language')}</Menu.Label>
        {(['en', 'de'] as const).map((language) => (
          <Menu.Item
            key={language}
            role="menuitemradio"
            aria-checked={s.language === language}
            rightSection={s.language === language && <Icon name="ok" size={14} />}
            onClick={() => setSettings({ language })}
          >
            {language === 'en' ? 'English' : 'Deutsch'}
          </Menu.Item>
        ))}
        <Menu.Label>{t('zone.title')}</Menu.Label>
        {(['local', 'utc', 'robot'] as const).map((zone) => (
          <Menu.Item
            key={zone}
            role="menuitemradio"
            aria-checked={s.zone === zone}
            rightSection={s.zone === zone && <Icon name="ok" size={14} />}
            onClick={() => setSettings({ zone })}
          >
            {t(`zone.${zone}`)}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  )
}

function UserMenu() {
  const t = useT('common')
  const who = useWhoami()
  const out = async () => {
    try {
      await send('POST', 'api/v1/logout')
      window.location.reload() // nothing of what was shown stays for the next one
    } catch (error) {
      notify.bad(error)
    }
  }
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <ActionIcon variant="default" size="lg" aria-label={t('user')}>
          <Icon name="user" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {who?.user ?? t(`by.${who?.by ?? 'nobody'}`)}
          {who?.role ? ` · ${t(`role.${who.role}`)}` : ''}
        </Menu.Label>
        {(who?.by === 'login' || who?.by === 'token') && (
          <Menu.Item onClick={() => void out()}>{t('signIn.out')}</Menu.Item>
        )}
      </Menu.Dropdown>
    </Menu>
  )
}
