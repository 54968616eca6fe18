import { Alert, AppShell, Burger, Button, Group, NavLink, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { Outlet, useNavigate, useRouterState } from '@tanstack/react-router'
import { useEffect } from 'react'

import { useT } from '../i18n'
import { kind } from '../shared/api/client'
import { reaches, useDenied, useRole } from '../shared/api/query'
import { retryLive, useConnection } from '../shared/live'
import { getSettings } from '../shared/settings'
import { Duration, ErrorBoundary, Icon } from '../shared/ui'
import { useCommandContext } from './CommandButton'
import { allowed, type CommandContext, commands, matches } from './commands'
import { Dialogs } from './Dialogs'
import { HeaderTools } from './HeaderTools'
import { type PageEntry, pages } from './pages'
import { SignIn } from './SignIn'
import { useServerTime } from '../shared/live'

export function Shell() {
  const t = useT('common')
  const [open, { toggle, close }] = useDisclosure()
  const path = useRouterState({ select: (s) => s.location.pathname })
  useEffect(close, [path, close])
  useShortcuts()
  useTitle(path)
  return (
    <AppShell
      header={{ height: 52 }}
      navbar={{ width: 208, breakpoint: 'sm', collapsed: { mobile: !open } }}
      padding="md"
    >
      <a href="#main" className="bp-skip" onClick={skip}>
        {t('skip')}
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="xs" wrap="nowrap">
            <Burger
              opened={open}
              onClick={toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label={t('menu')}
              aria-expanded={open}
              onKeyDown={(e) => e.key === 'Escape' && close()}
            />
            <Icon name="record" size={22} />
            <Text fw={700} visibleFrom="xs">
              bagpipe
            </Text>
          </Group>
          <HeaderTools />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar
        p="xs"
        aria-label={t('navigation')}
        className={open ? undefined : 'bp-nav-closed'}
        onKeyDown={(e) => e.key === 'Escape' && close()}
      >
        <Navigation path={path} onGo={close} />
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        <OfflineBanner />
        <ErrorBoundary key={path}>
          <Outlet />
        </ErrorBoundary>
      </AppShell.Main>
      <SignIn />
      <Dialogs />
    </AppShell>
  )
}

// href="#main" alone would lead to <base>.
function skip(e: { preventDefault: () => void }): void {
  e.preventDefault()
  document.getElementById('main')?.focus()
}

function isBelow(path: string, page: string): boolean {
  return page !== '/' && path.startsWith(`${page}/`)
}

function useTitle(path: string): void {
  const t = useT('common')
  useEffect(() => {
    // Of pages of one thing the name of the page that leads there.
    const page = pages.find((p) => p.path === path) ?? pages.find((p) => isBelow(path, p.path))
    document.title = page ? `${t(page.nav)} · bagpipe` : 'bagpipe'
  }, [path, t])
}

function visible(p: PageEntry): boolean {
  return !p.hidden && (p.where === 'both' || p.where === kind())
}

function Navigation({ path, onGo }: { path: string; onGo: () => void }) {
  const t = useT('common')
  const navigate = useNavigate()
  const role = useRole()
  return pages
    .filter((p) => visible(p) && (role === null || reaches(role, p.role)))
    .map((p) => {
      const active = p.path === '/' ? path === '/' : path.startsWith(p.path)
      return (
        <NavLink
          key={p.path}
          href={`.${p.path}`}
          label={t(p.nav)}
          leftSection={<Icon name={p.icon} />}
          active={active}
          variant="light"
          aria-current={active ? 'page' : undefined}
          onClick={(e) => {
            if (e.ctrlKey || e.metaKey || e.shiftKey) return
            e.preventDefault()
            onGo()
            void navigate({ to: p.path })
          }}
        />
      )
    })
}

function OfflineBanner() {
  const t = useT('common')
  const c = useConnection()
  const now = useServerTime(1000, c.state !== 'open')
  const denied = useDenied()
  const lost = c.state === 'offline' || denied
  const seconds = Math.max(0, Math.round((now - c.since) / 1000))
  return (
    <div role="status">
      {lost && (
        <Alert
          color="orange"
          mb="md"
          icon={<Icon name={denied ? 'lock' : 'network'} />}
          title={t(denied ? 'connection.denied' : 'offline.title')}
        >
          {t(denied ? 'offline.denied' : 'offline.text')}{' '}
          <span aria-hidden>{seconds < 60 ? `${seconds} s` : <Duration seconds={seconds} />}</span>
          {!denied && (
            <Button size="compact-sm" variant="default" ml="md" onClick={retryLive}>
              {t('retry')}
            </Button>
          )}
        </Alert>
      )}
    </div>
  )
}

function typing(e: KeyboardEvent): boolean {
  const el = e.target
  if (!(el instanceof HTMLElement)) return false
  return el.isContentEditable || el.closest('input, textarea, select, [role=dialog]') !== null
}

function run(e: KeyboardEvent, ctx: CommandContext): void {
  const c = commands.find((one) => one.keys !== undefined && matches(one.keys, e))
  if (!c?.keys || (!c.keys.startsWith('Ctrl+') && (typing(e) || !getSettings().shortcuts))) return
  if (allowed(c, ctx) !== true) return
  e.preventDefault()
  void c.run(ctx)
}

function useShortcuts(): void {
  const ctx = useCommandContext()
  useEffect(() => {
    const listener = (e: KeyboardEvent) => run(e, ctx)
    window.addEventListener('keydown', listener)
    return () => window.removeEventListener('keydown', listener)
  }, [ctx])
}
