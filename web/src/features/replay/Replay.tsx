import { Button, Menu, Modal, Table } from '@mantine/core'
import { useEffect, useState } from 'react'

import { useT } from '../../i18n'
import { addPanel, LayoutMenu, PanelGrid, panelFor, panelKinds, suggest } from '../../shared/panels'
import { Empty, ErrorState, Icon, Loading, Page } from '../../shared/ui'
import { ExportDialog } from './ExportDialog'
import { keyHelp, type Action } from './keys'
import type { Range } from './player'
import type { Recording, RobotTopic } from './session'
import type { ReplaySource } from './source'
import { TopicsDrawer } from './TopicsDrawer'
import { Transport } from './Transport'
import { useAddress, useLink, useReplayLayout, useSource } from './useReplay'
import { act, useClock, useKeys, usePlayer } from './usePlayer'

type Open = 'help' | 'topics' | 'export' | undefined

/** Panels over a recording, and what moves its time. */
export function Replay({ recording, span }: { recording: Recording; span: Range }) {
  const t = useT('replay')
  const link = useLink()
  const source = useSource(recording, span, link.offset)
  const store = useReplayLayout(recording, t('first'), link.layout)
  const { layout } = store
  const [open, setOpen] = useState<Open>()
  useAddress(source, store.changed ? layout : undefined)
  useEffect(() => {
    document.title = `${recording.name} · ${t('title')} · bagpipe`
  }, [recording.name, t])
  const show = (topics: readonly RobotTopic[]) =>
    store.change(topics.reduce((l, x) => addPanel(l, panelFor(x).kind, panelFor(x).config), layout))
  const actions = (
    <>
      <LayoutMenu store={store} />
      <Menu withinPortal>
        <Menu.Target>
          <Button variant="default">{t('live:add')}</Button>
        </Menu.Target>
        <Menu.Dropdown>
          {panelKinds.map((k) => (
            <Menu.Item key={k} onClick={() => store.change(addPanel(layout, k))}>
              {t(`live:kind.${k}`)}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      <Button variant="default" onClick={() => setOpen('topics')}>
        {t('topics', { n: recording.topics.length })}
      </Button>
      <Button
        variant="default"
        leftSection={<Icon name="download" />}
        onClick={() => setOpen('export')}
      >
        {t('export.button')}
      </Button>
      <Button variant="default" onClick={() => setOpen('help')}>
        {t('keys.button')}
      </Button>
    </>
  )
  return (
    <Page title={recording.name} actions={actions}>
      {layout.panels.length === 0 || !source ? (
        source ? (
          <Empty
            icon="replay"
            title={t('live:empty')}
            hint={t(recording.topics.length > 0 ? 'live:emptyHint' : 'noTopics')}
            action={
              <Button
                disabled={recording.topics.length === 0}
                onClick={() => store.change(suggest(layout.name, recording.topics))}
              >
                {t('live:suggest')}
              </Button>
            }
          />
        ) : (
          <Loading lines={8} />
        )
      ) : (
        <PanelGrid source={source} layout={layout} onChange={store.change} />
      )}
      {source && <Controls source={source} recording={recording} onHelp={() => setOpen('help')} />}
      <KeyHelp opened={open === 'help'} onClose={() => setOpen(undefined)} />
      <TopicsDrawer
        opened={open === 'topics'}
        onClose={() => setOpen(undefined)}
        topics={recording.topics}
        onShow={show}
        onRobot={(topics) => store.change(suggest(layout.name, topics))}
      />
      {source && open === 'export' && (
        <ExportDialog
          source={source}
          recording={recording}
          layout={layout}
          onClose={() => setOpen(undefined)}
        />
      )}
    </Page>
  )
}

interface ControlsProps {
  source: ReplaySource
  recording: Recording
  onHelp: () => void
}

function Controls({ source, recording, onHelp }: ControlsProps) {
  const { marks } = recording
  const error = usePlayer(source, (v) => v.error)
  const run = (action: Action) => act(source, marks, onHelp, action)
  useClock(source)
  useKeys(run)
  return (
    <>
      {error && <ErrorState error={error} retry={() => void source.player.seek(source.now())} />}
      <Transport source={source} marks={marks} run={run} />
    </>
  )
}

function KeyHelp({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const t = useT('replay')
  return (
    <Modal opened={opened} onClose={onClose} title={t('keys.title')}>
      <Table>
        <Table.Tbody>
          {keyHelp.map((k) => (
            <Table.Tr key={k.text}>
              <Table.Th>
                <kbd>{k.keys === 'Space' ? t('keys.space') : k.keys}</kbd>
              </Table.Th>
              <Table.Td>{t(`keys.${k.text}`)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Modal>
  )
}
