import { ActionIcon, Group, Loader, Menu, Modal, Text } from '@mantine/core'
import { Component, Suspense, useMemo, useState, type ReactNode } from 'react'

import { useT } from '../../i18n'
import { useServerTime } from '../live'
import { formatDuration } from '../time'
import type { Handle } from './Grid'
import { useSourceState } from './hooks'
import type { Panel, PanelConfig } from './layout'
import { panelViews } from './panel'
import { PanelNote } from './PanelNote'
import classes from './PanelShell.module.css'
import { PanelSettings } from './PanelSettings'
import { panelTitle } from './panelTitle'
import type { PanelSource } from './source'
import { watched, type Arrivals } from './watched'

/** Seconds after which what a panel shows is called old. */
const STALE_S = 5

interface ShellProps {
  panel: Panel
  source: PanelSource
  handle: Handle | undefined
  onConfig: (change: PanelConfig) => void
  onRemove: () => void
}

/** A panel with its title, its settings and its age. */
export function PanelShell({ panel, source, handle, onConfig, onRemove }: ShellProps) {
  const t = useT('panels')
  const [full, setFull] = useState(false)
  const [settings, setSettings] = useState(false)
  const [arrivals] = useState<Arrivals>({ last: undefined })
  const noted = useMemo(() => watched(source, arrivals), [source, arrivals])
  const View = panelViews[panel.kind]
  const title = panelTitle(panel) || t(`kind.${panel.kind}`)
  return (
    <section className={full ? classes.full : classes.panel} aria-label={title}>
      <header
        className={classes.head}
        tabIndex={handle ? 0 : undefined}
        role={handle ? 'group' : undefined}
        aria-label={handle ? t('moveHint', { title }) : undefined}
        {...(full ? {} : handle)}
      >
        <Text size="sm" fw={600} truncate className={classes.title} title={title}>
          {title}
        </Text>
        <PanelAge source={source} arrivals={arrivals} />
        <ActionIcon
          variant="subtle"
          color="gray"
          size="sm"
          aria-label={t(full ? 'leaveFull' : 'full')}
          onClick={() => setFull(!full)}
        >
          <span aria-hidden="true">{full ? '⤡' : '⤢'}</span>
        </ActionIcon>
        <Menu position="bottom-end" withinPortal>
          <Menu.Target>
            <ActionIcon variant="subtle" color="gray" size="sm" aria-label={t('more', { title })}>
              <span aria-hidden="true">⋮</span>
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item onClick={() => setSettings(true)}>{t('settings')}</Menu.Item>
            <Menu.Item onClick={onRemove}>{t('remove')}</Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </header>
      <div className={classes.body}>
        <Guard broken={(text) => <PanelNote title={t('broken')} hint={text} />}>
          <Suspense fallback={<PanelLoading />}>
            <View source={noted} config={panel.config} onConfig={onConfig} />
          </Suspense>
        </Guard>
      </div>
      <Modal opened={settings} onClose={() => setSettings(false)} title={t('settingsOf', { title })}>
        <PanelSettings panel={panel} source={source} onConfig={onConfig} />
      </Modal>
    </section>
  )
}

function PanelLoading() {
  return (
    <Group h="100%" justify="center">
      <Loader size="sm" />
    </Group>
  )
}

/** Says how old the picture is as soon as it is not of now. */
function PanelAge({ source, arrivals }: { source: PanelSource; arrivals: Arrivals }) {
  const t = useT('panels')
  const state = useSourceState(source)
  useServerTime(1000)
  if (state === 'playing' || state === 'paused') return null
  const last = arrivals.last
  if (last === undefined) return state === 'offline' ? <Mark text={t('offline')} /> : null
  const age = Number((source.now() - last) / 1_000_000n) / 1000
  if (state === 'live' && age < STALE_S) return null
  return <Mark text={t('old', { age: formatDuration(Math.max(0, age)) })} />
}

function Mark({ text }: { text: string }) {
  return (
    <Text size="xs" className={classes.age}>
      <span aria-hidden="true">⚠ </span>
      {text}
    </Text>
  )
}

/** One panel that fails leaves the others alone. */
class Guard extends Component<
  { children: ReactNode; broken: (text: string) => ReactNode },
  { text: string | undefined }
> {
  override state = { text: undefined }

  static getDerivedStateFromError(error: unknown) {
    return { text: error instanceof Error ? error.message : String(error) }
  }

  override render() {
    return this.state.text === undefined ? this.props.children : this.props.broken(this.state.text)
  }
}
