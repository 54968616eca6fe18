import { Group, Select, Text, TextInput } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import { useDeferredValue, useEffect, useMemo, useState, useSyncExternalStore } from 'react'

import { useT } from '../../i18n'
import { kind } from '../../shared/api/client'
import { eventsTarget, subscribe } from '../../shared/live'
import { useSettings } from '../../shared/settings'
import { Empty, Loading, Page, VirtualTable, type Sort } from '../../shared/ui'
import { columnsOf } from './columns'
import { groupsOf, measured, select, sortBy, TopicStore, type GroupBy, type Line } from './store'
import { TopicDrawer } from './TopicDrawer'

/** What the graph has, once a second. */
function useTopicStore(device: string): { store: TopicStore; why: string } {
  const store = useMemo(() => {
    void device
    return new TopicStore()
  }, [device])
  const [why, setWhy] = useState('')
  useEffect(() => {
    setWhy('')
    return subscribe(`${eventsTarget(device)}topics`, {
      event: (data) => {
        const topics = (data as { topics?: Parameters<TopicStore['take']>[0] } | null)?.topics
        if (topics) store.take(topics)
      },
      refused: setWhy,
    })
  }, [store, device])
  return { store, why }
}

export default function TopicsPage() {
  const t = useT('topics')
  const { robot } = useSettings()
  const device = kind() === 'server' ? robot : ''
  const lacking = kind() === 'server' && robot === ''
  return (
    <Page title={t('title')}>
      {lacking ? (
        <Empty icon="robot" title={t('noRobot')} hint={t('noRobotHint')} />
      ) : (
        <TopicsOf device={device} />
      )}
    </Page>
  )
}

function TopicsOf({ device }: { device: string }) {
  const t = useT('topics')
  const { store, why } = useTopicStore(device)
  const [find, setFind] = useState('')
  const [group, setGroup] = useState<GroupBy>('none')
  const [sort, setSort] = useState<Sort>({ by: 'topic', down: false })
  const [chosen, setChosen] = useState<string | undefined>()
  const needle = useDeferredValue(find)
  const lines = useLines(store, needle, sort, group)
  const narrow = useMediaQuery('(max-width: 48em)')
  const columns = useMemo(() => columnsOf(store, t, narrow), [store, t, narrow])
  if (why !== '') return <Empty icon="warn" title={t('refused')} hint={why} />
  if (store.version === 0) return <Loading />
  if (store.names.length === 0) {
    return <Empty icon="topics" title={t('none')} hint={t('noneHint')} />
  }
  const count = lines.filter((l) => 'key' in l).length
  return (
    <>
      <Group gap="sm" align="start">
        <TextInput
          label={t('find')}
          value={find}
          onChange={(e) => setFind(e.currentTarget.value)}
          w={280}
          description={t('count', { count, all: store.names.length })}
          inputWrapperOrder={['label', 'input', 'description']}
        />
        <Select
          label={t('group')}
          value={group}
          allowDeselect={false}
          data={(['none', 'robot', 'namespace'] as const).map((value) => ({
            value,
            label: t(`by.${value}`),
          }))}
          onChange={(v) => setGroup((v ?? 'none') as GroupBy)}
        />
      </Group>
      <Measured store={store} />
      {lines.length === 0 ? (
        <Empty icon="search" title={t('noneFound')} hint={t('noneFoundHint')} />
      ) : (
        <VirtualTable<Line>
          label={t('title')}
          columns={columns}
          rows={lines}
          rowKey={(l) => ('key' in l ? l.key : `group ${l.head}`)}
          sort={{ value: sort, onChange: setSort }}
          onRow={(l) => 'key' in l && setChosen(l.key)}
          {...(chosen === undefined ? {} : { selected: chosen })}
          height="max(320px, calc(100dvh - 270px))"
        />
      )}
      <TopicDrawer
        store={store}
        chosen={chosen}
        device={device}
        onClose={() => setChosen(undefined)}
      />
    </>
  )
}

/** Says why some rates are not there; nothing when all are. */
function Measured({ store }: { store: TopicStore }) {
  const t = useT('topics')
  const count = useSyncExternalStore(
    (l) => store.watch(l),
    () => measured(store),
  )
  const all = store.names.length
  if (count === all) return null
  return (
    <Text size="sm" c="dimmed">
      {t('measured', { count, all })} {t('notMeasuredHint')}
    </Text>
  )
}

// Sorted by names nothing moves while values tick; by a value the order is made anew each second.
function useLines(store: TopicStore, find: string, sort: Sort, group: GroupBy): Line[] {
  const ticking = sort.by !== 'topic' && sort.by !== 'type'
  const version = useSyncExternalStore(
    (l) => store.watch(l),
    () => (ticking ? store.version : store.names),
  )
  return useMemo(() => {
    void version
    return groupsOf(store, select(store, find, sortBy(sort.by), sort.down), group)
  }, [store, version, find, sort, group])
}
