import { Button, Menu } from '@mantine/core'
import { useMemo, useState } from 'react'

import { useT } from '../../i18n'
import { kind } from '../../shared/api/client'
import {
  addPanel,
  emptyLayout,
  freeName,
  LayoutMenu,
  LiveSource,
  loadChosen,
  loadLayouts,
  PanelGrid,
  panelKinds,
  put,
  saveLayouts,
  suggest,
  type Layout,
} from '../../shared/panels'
import { useTopics } from '../../shared/panels/hooks'
import { useSettings } from '../../shared/settings'
import { Empty, Page } from '../../shared/ui'

export default function LivePage() {
  const t = useT('live')
  const { robot } = useSettings()
  if (kind() === 'server' && robot === '') {
    return (
      <Page title={t('title')}>
        <Empty icon="robot" title={t('noRobot')} hint={t('noRobotHint')} />
      </Page>
    )
  }
  const device = kind() === 'server' ? robot : ''
  return <LiveOf key={device} device={device} />
}

function useLayouts(first: string) {
  const [layouts, setLayouts] = useState(loadLayouts)
  const [chosen, setChosen] = useState(loadChosen)
  const layout = layouts.find((l) => l.name === chosen) ?? layouts[0] ?? emptyLayout(first)
  const keep = (all: Layout[], name: string) => {
    setLayouts(all)
    setChosen(name)
    saveLayouts(all, name)
  }
  return {
    layout,
    names: layouts.map((l) => l.name),
    change: (l: Layout) => keep(put(layouts, l), l.name),
    choose: (name: string) => keep(layouts, name),
    add: (l: Layout) => {
      const name = freeName(layouts, l.name)
      keep([...layouts, { ...l, name }], name)
    },
    remove: (name: string) =>
      keep(
        layouts.filter((l) => l.name !== name),
        '',
      ),
  }
}

function LiveOf({ device }: { device: string }) {
  const t = useT('live')
  const source = useMemo(() => new LiveSource(device), [device])
  const topics = useTopics(source)
  const store = useLayouts(t('first'))
  const { layout } = store
  const actions = (
    <>
      <LayoutMenu store={store} />
      <Menu withinPortal>
        <Menu.Target>
          <Button variant="default">{t('add')}</Button>
        </Menu.Target>
        <Menu.Dropdown>
          {panelKinds.map((k) => (
            <Menu.Item key={k} onClick={() => store.change(addPanel(layout, k))}>
              {t(`kind.${k}`)}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
    </>
  )
  return (
    <Page title={t('title')} actions={actions}>
      <>
        {layout.panels.length === 0 ? (
          <Empty
            icon="live"
            title={t('empty')}
            hint={topics.length > 0 ? t('emptyHint') : t('noTopics')}
            action={
              <Button
                disabled={topics.length === 0}
                onClick={() => store.change(suggest(layout.name, topics))}
              >
                {t('suggest')}
              </Button>
            }
          />
        ) : (
          <PanelGrid source={source} layout={layout} onChange={store.change} />
        )}
      </>
    </Page>
  )
}
