import { Text } from '@mantine/core'
import { useSyncExternalStore, type ReactNode } from 'react'

import type { Translate } from '../../i18n'
import {
  figures,
  formatNumber,
  Num,
  Rate,
  State,
  type Column,
  type StateKind,
} from '../../shared/ui'
import {
  expectedHz,
  lostOf,
  recordedOf,
  type Line,
  type Recorded,
  type SortBy,
  type Topic,
  type TopicStore,
} from './store'

/** One cell of one topic; it renders when its topic's values have come. */
function Cell({
  store,
  name,
  draw,
}: {
  store: TopicStore
  name: string
  draw: (topic: Topic) => ReactNode
}) {
  const topic = useSyncExternalStore(
    (l) => store.watchRow(name, l),
    () => store.get(name),
  )
  return topic ? draw(topic) : null
}

const kinds: Record<Recorded, StateKind> = {
  recorded: 'ok',
  deaf: 'bad',
  incompatible: 'bad',
  noSession: 'idle',
}

type Draw = (topic: Topic, t: Translate) => ReactNode

interface Spec {
  id: SortBy | 'recorded' | 'qos'
  width: string
  right?: boolean
  draw: Draw
}

const specs: readonly Spec[] = [
  { id: 'topic', width: 'minmax(220px, 3fr)', draw: (x) => <Name text={x.topic} /> },
  { id: 'type', width: 'minmax(170px, 2fr)', draw: (x) => <Type text={x.type} /> },
  { id: 'hz', width: '90px', right: true, draw: (x, t) => <Hz topic={x} t={t} /> },
  { id: 'bytes', width: '104px', right: true, draw: (x) => <Rate value={x.bytes_per_s} /> },
  { id: 'age', width: '84px', right: true, draw: (x) => <Num value={x.age_s} digits={1} /> },
  { id: 'writers', width: '84px', right: true, draw: (x) => <Num value={x.writers} /> },
  { id: 'qos', width: '124px', draw: (x, t) => <Qos topic={x} t={t} /> },
  {
    id: 'recorded',
    width: '150px',
    draw: (x, t) => <State kind={kinds[recordedOf(x)]} label={t(`recorded.${recordedOf(x)}`)} />,
  },
  { id: 'lost', width: '80px', right: true, draw: (x) => <Num value={lostOf(x)} /> },
]

function Name({ text, dim = false }: { text: string; dim?: boolean }) {
  return (
    <Text size="sm" truncate title={text} {...(dim ? { c: 'dimmed' } : {})}>
      {text}
    </Text>
  )
}

/** Without the part that all types of messages share; whole when pointed at. */
function Type({ text }: { text: string }) {
  return (
    <Text size="sm" truncate title={text} c="dimmed">
      {text.replace('/msg/', '/')}
    </Text>
  )
}

/** Rates are known of topics that somebody reads; of others it says why there is none. */
function Hz({ topic, t }: { topic: Topic; t: Translate }) {
  if (topic.rate_hz === null) {
    return (
      <Text size="sm" c="dimmed" title={t('notMeasuredHint')}>
        {t('notMeasured')}
      </Text>
    )
  }
  const least = expectedHz(topic)
  const slow = least !== undefined && topic.rate_hz < 0.9 * least
  if (!slow) return <Num value={topic.rate_hz} digits={1} />
  return (
    <span title={t('slow', { hz: figures(least) })}>
      <State kind="warn" label={formatNumber(topic.rate_hz, 1)} />
    </span>
  )
}

function Qos({ topic, t }: { topic: Topic; t: Translate }) {
  if (topic.qos.incompatible.length > 0) {
    return <State kind="bad" label={topic.qos.incompatible.join(', ')} />
  }
  const first = topic.qos.offered[0]
  if (!first) return <Text size="sm">–</Text>
  const text = t(`qos.${first.reliability}`)
  return <Name text={topic.qos.profiles > 1 ? t('qos.mixed', { n: topic.qos.profiles }) : text} />
}

/** `narrow`: a phone, where the type would push the rates out of sight. */
export function columnsOf(store: TopicStore, t: Translate, narrow = false): Column<Line>[] {
  return specs
    .filter((s) => !narrow || s.id !== 'type')
    .map((s) => ({
      id: s.id,
      title: t(`column.${s.id}`),
      width: s.width,
      align: s.right ? 'right' : 'left',
      sortable: s.id !== 'qos' && s.id !== 'recorded',
      render: (line) => {
        if ('key' in line) {
          return <Cell store={store} name={line.key} draw={(topic) => s.draw(topic, t)} />
        }
        if (s.id !== 'topic') return null
        return (
          <Text size="sm" fw={600}>
            {line.head} ({line.count})
          </Text>
        )
      },
    }))
}
