import { Button, Drawer, Stack, Table, Text, Title } from '@mantine/core'
import { useEffect, useMemo, useState, useSyncExternalStore } from 'react'

import { type Translate, useT } from '../../i18n'
import { LiveSource } from '../../shared/panels'
import { ImagePanel } from '../../shared/panels/image/ImagePanel'
import { PlotPanel } from '../../shared/panels/plot/PlotPanel'
import { imageTypes } from '../../shared/panels/suggest'
import { useLatest } from '../../shared/panels/hooks'
import { MessageTree } from '../../shared/panels/text/MessageTree'
import type { PanelSource } from '../../shared/panels'
import { getSettings } from '../../shared/settings'
import { figures, formatBytes, formatNumber } from '../../shared/ui'
import { RateHistory } from './RateHistory'
import { expectedHz, recordedOf, type Topic, type TopicStore } from './store'

interface DrawerProps {
  store: TopicStore
  chosen: string | undefined
  device: string
  onClose: () => void
}

/** All of one topic. */
export function TopicDrawer({ store, chosen, device, onClose }: DrawerProps) {
  const t = useT('topics')
  const topic = useSyncExternalStore(
    (l) => (chosen === undefined ? () => undefined : store.watchRow(chosen, l)),
    () => (chosen === undefined ? undefined : store.get(chosen)),
  )
  const source = useMemo(() => new LiveSource(device), [device])
  return (
    <Drawer
      opened={chosen !== undefined}
      onClose={onClose}
      position="right"
      size="lg"
      title={topic?.topic ?? chosen ?? ''}
      closeButtonProps={{ 'aria-label': t('close') }}
    >
      {topic && chosen !== undefined && (
        <Stack gap="md" key={chosen}>
          <Facts topic={topic} />
          {imageTypes.includes(topic.type) && (
            <div style={{ height: 280 }}>
              <ImagePanel source={source} config={{ topic: topic.topic }} onConfig={noChange} />
            </div>
          )}
          <Part title={t('rates')}>
            <RateHistory store={store} name={chosen} />
          </Part>
          {!imageTypes.includes(topic.type) && <Message source={source} topic={topic.topic} />}
        </Stack>
      )}
    </Drawer>
  )
}

function noChange(): void {
  // Here a picture has no settings to keep.
}

function Part({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <section aria-label={title}>
      <Title order={3} size="h5" mb={4}>
        {title}
      </Title>
      {children}
    </section>
  )
}

function nowOf(topic: Topic, t: Translate): string {
  if (topic.rate_hz === null) return `${t('notMeasured')}. ${t('notMeasuredHint')}`
  return `${figures(topic.rate_hz)} Hz, ${formatBytes(topic.bytes_per_s ?? 0, getSettings().bytes)}/s`
}

function Facts({ topic }: { topic: Topic }) {
  const t = useT('topics')
  const why = recordedOf(topic)
  const least = expectedHz(topic)
  const rows: [string, string][] = [
    [t('column.type'), topic.type],
    [t('robot'), topic.robot],
    [t('domain'), String(topic.domain)],
    [t('column.writers'), String(topic.writers)],
    [t('column.recorded'), `${t(`recorded.${why}`)}. ${t(`why.${why}`)}`],
    [t('now'), nowOf(topic, t)],
    [
      t('expected'),
      least === undefined ? t('expectedNone') : t('expectedAt', { hz: figures(least) }),
    ],
    ...topic.qos.offered.map((q, i): [string, string] => [
      t('offered', { n: i + 1 }),
      `${q.reliability}, ${q.durability}, ${q.history} ${q.depth}`,
    ]),
    ...topic.qos.incompatible.map((p): [string, string] => [t('mismatch'), t('mismatchOf', { p })]),
    ...Object.entries(topic.lost).map(([cause, n]): [string, string] => [
      t('lostBy', { cause: t(`overview:cause.${cause}`) }),
      formatNumber(n),
    ]),
  ]
  return (
    <Table variant="vertical" layout="auto" withRowBorders={false}>
      <Table.Tbody>
        {rows.map(([name, value]) => (
          <Table.Tr key={name}>
            <Table.Th scope="row">{name}</Table.Th>
            <Table.Td>{value}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  )
}

function Message({ source, topic }: { source: PanelSource; topic: string }) {
  const t = useT('topics')
  const message = useLatest(source, topic, 5)
  const [paths, setPaths] = useState<readonly string[]>([])
  useEffect(() => setPaths([]), [topic])
  const toggle = (path: string) =>
    setPaths((p) => (p.includes(path) ? p.filter((x) => x !== path) : [...p, path].slice(-7)))
  return (
    <>
      {paths.length > 0 && (
        <div style={{ height: 260 }}>
          <PlotPanel
            source={source}
            config={{ fields: paths.map((path) => ({ topic, path })) }}
            onConfig={noChange}
          />
        </div>
      )}
      <Part title={t('message')}>
        {!message && <Text c="dimmed">{t('waiting')}</Text>}
        {message && message.value === null && <Text c="dimmed">{message.why ?? t('waiting')}</Text>}
        {message && message.value !== null && (
          <MessageTree
            value={message.value}
            labels={{ more: (n) => t('moreItems', { n }) }}
            action={(path) => (
              <Button
                size="compact-xs"
                variant={paths.includes(path) ? 'filled' : 'default'}
                aria-pressed={paths.includes(path)}
                aria-label={t('plotField', { path })}
                onClick={() => toggle(path)}
              >
                {t('plot')}
              </Button>
            )}
          />
        )}
      </Part>
    </>
  )
}
