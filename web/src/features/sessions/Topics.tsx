import { TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useDeferredValue, useMemo, useState } from 'react'

import { useT } from '../../i18n'
import { kind } from '../../shared/api/client'
import {
  Bytes,
  type Column,
  Empty,
  ErrorState,
  figures,
  Loading,
  Num,
  VirtualTable,
  type Sort,
} from '../../shared/ui'
import { LostBadge } from './columns'
import { durationOf, isRunning, lostOf, type Session, type SessionTopic } from './model'
import { topicsQuery } from './queries'

type Value = string | number

const values: Record<string, (x: SessionTopic) => Value> = {
  topic: (x) => x.topic,
  type: (x) => x.type,
  robot: (x) => x.robot,
  messages: (x) => x.messages,
  rate: (x) => x.messages,
  bytes: (x) => x.bytes ?? 0,
  lost: lostOf,
}

function compare(a: Value, b: Value): number {
  return typeof a === 'number' && typeof b === 'number'
    ? a - b
    : String(a).localeCompare(String(b), 'en', { numeric: true })
}

function rowsOf(topics: readonly SessionTopic[], find: string, sort: Sort): SessionTopic[] {
  const needle = find.trim().toLowerCase()
  const value = values[sort.by] ?? ((x: SessionTopic) => x.topic)
  return topics
    .filter((x) => `${x.topic} ${x.type} ${x.robot}`.toLowerCase().includes(needle))
    .sort((a, b) => (sort.down ? -1 : 1) * compare(value(a), value(b)))
}

export function Topics({ session }: { session: Session }) {
  const t = useT('sessions')
  const { data, error, refetch } = useQuery({
    ...topicsQuery(session.id),
    refetchInterval: isRunning(session) ? 5000 : false,
  })
  const [find, setFind] = useState('')
  const [sort, setSort] = useState<Sort>({ by: 'topic', down: false })
  const needle = useDeferredValue(find)
  const rows = useMemo(() => rowsOf(data?.topics ?? [], needle, sort), [data, needle, sort])
  const columns = useColumns(durationOf(session), rows)
  if (error) return <ErrorState error={error} retry={() => void refetch()} />
  if (!data) return <Loading />
  if (data.topics.length === 0) return <Empty icon="topics" title={t('topics.none')} />
  return (
    <>
      <TextInput
        label={t('common:search')}
        type="search"
        value={find}
        onChange={(e) => setFind(e.currentTarget.value)}
        maw={360}
        mb="xs"
        description={t('topics.count', { count: rows.length, all: data.topics.length })}
        inputWrapperOrder={['label', 'input', 'description']}
      />
      <VirtualTable<SessionTopic>
        label={t('tab.topics')}
        columns={columns}
        rows={rows}
        rowKey={(x) => `${x.topic} ${x.type} ${x.robot} ${x.domain ?? ''}`}
        sort={{ value: sort, onChange: setSort }}
        height={`min(60dvh, ${Math.max(rows.length, 1) * 36 + 52}px)`}
      />
    </>
  )
}

function useColumns(seconds: number | undefined, rows: readonly SessionTopic[]) {
  const t = useT('sessions')
  // A server that was told no sizes says 0 for all.
  const sizes = rows.some((x) => (x.bytes ?? 0) > 0)
  return useMemo<Column<SessionTopic>[]>(() => {
    const name = (id: 'topic' | 'type' | 'robot', width: string): Column<SessionTopic> => ({
      id,
      title: t(id),
      width,
      sortable: true,
      render: (x) => <span title={x[id]}>{x[id]}</span>,
    })
    const size: Column<SessionTopic> = {
      id: 'bytes',
      title: t('size'),
      width: '100px',
      align: 'right',
      sortable: true,
      render: (x) => <Bytes value={x.bytes} />,
    }
    return [
      name('topic', 'minmax(180px, 3fr)'),
      name('type', 'minmax(150px, 2fr)'),
      name('robot', '110px'),
      {
        id: 'messages',
        title: t('messages'),
        width: '110px',
        align: 'right',
        sortable: true,
        render: (x) => <Num value={x.messages} />,
      },
      {
        id: 'rate',
        title: t('topics.mean'),
        width: '100px',
        align: 'right',
        sortable: true,
        render: (x) => (
          <span className="bp-num">{seconds ? figures(x.messages / seconds) : '–'}</span>
        ),
      },
      ...(sizes ? [size] : []),
      {
        id: 'lost',
        title: t(kind() === 'server' ? 'missing' : 'lost'),
        width: '150px',
        align: 'right',
        sortable: true,
        render: (x) => <LostBadge lost={lostOf(x)} />,
      },
    ]
  }, [t, seconds, sizes])
}
