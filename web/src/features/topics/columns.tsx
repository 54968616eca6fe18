import { Text } from '@mantine/core'
import { useSyncExternalStore, type ReactNode } from 'react'

import type { Translate } from '../../i18n'
import { Bytes, Num, State, type Column, type StateKind } from '../../shared/ui'
import {
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
  { id: 'type', width: 'minmax(160px, 2fr)', draw: (x) => <Name text={x.type} dim /> },
  { id: 'hz', width: '96px', right: true, draw: (x) => <Num value={x.rate_hz} digits={1} /> },
  { id: 'bytes', width: '110px', right: true, draw: (x) => <Bytes value={x.bytes_per_s} /> },
  { id: 'age', width: '90px', right: true, draw: (x) => <Num value={x.age_s} digits={1} /> },
  { id: 'writers', width: '90px', right: true, draw: (x) => <Num value={x.writers} /> },
  { id: 'qos', width: '150px', draw: (x, t) => <Qos topic={x} t={t} /> },
  {
    id: 'recorded',
    width: '170px',
    draw: (x, t) => <State kind={kinds[recordedOf(x)]} label={t(`recorded.${recordedOf(x)}`)} />,
  },
  { id: 'lost', width: '90px', right: true, draw: (x) => <Num value={lostOf(x)} /> },
]

function Name({ text, dim = false }: { text: string; dim?: boolean }) {
  return (
    <Text size="sm" truncate title={text} {...(dim ? { c: 'dimmed' } : {})}>
      {text}
    </Text>
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

export function columnsOf(store: TopicStore, t: Translate): Column<Line>[] {
  return specs.map((s) => ({
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
