import { Anchor, Button, Stack, Switch, Table, Text, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useMemo, useState, type ReactNode } from 'react'

import { useT, type Translate } from '../../i18n'
import { kind } from '../../shared/api/client'
import {
  Bytes,
  type Column,
  DateTime,
  Duration,
  Empty,
  ErrorState,
  figures,
  Loading,
  Num,
  Page,
  VirtualTable,
} from '../../shared/ui'
import { StatusOf } from './columns'
import { factsOf, pairTopics, same, type Facts, type Side, type TopicPair } from './compare'
import { durationOf, type Session } from './model'
import { sessionQuery, topicsQuery } from './queries'
import css from './sessions.module.css'

export default function ComparePage() {
  const t = useT('sessions')
  const search = useSearch({ strict: false }) as Record<string, unknown>
  const a = String(search.a ?? '')
  const b = String(search.b ?? '')
  const navigate = useNavigate()
  const swap = () =>
    void navigate({ to: '/sessions/compare', search: { a: b, b: a } as never, replace: true })
  const both = a !== '' && b !== ''
  return (
    <Page
      title={t('compare.title')}
      actions={
        both && (
          <Button variant="default" onClick={swap}>
            {t('compare.swap')}
          </Button>
        )
      }
    >
      <Anchor component={Link} to="/sessions" size="sm">
        {t('back')}
      </Anchor>
      {both ? (
        <Two key={`${a} ${b}`} a={a} b={b} />
      ) : (
        <Empty icon="sessions" title={t('compare.none')} hint={t('compare.hint')} />
      )}
    </Page>
  )
}

function Two({ a, b }: { a: string; b: string }) {
  const one = useQuery(sessionQuery(a))
  const other = useQuery(sessionQuery(b))
  const topicsOne = useQuery(topicsQuery(a))
  const topicsOther = useQuery(topicsQuery(b))
  const failed = [one, other, topicsOne, topicsOther].find((q) => q.error)
  if (failed) return <ErrorState error={failed.error} retry={() => void failed.refetch()} />
  if (!one.data || !other.data || !topicsOne.data || !topicsOther.data) return <Loading />
  const pairs = pairTopics(
    topicsOne.data.topics,
    topicsOther.data.topics,
    durationOf(one.data),
    durationOf(other.data),
  )
  return (
    <Stack gap="lg">
      <FactTable a={one.data} b={other.data} />
      <TopicTable pairs={pairs} />
    </Stack>
  )
}

type Draw = { [K in keyof Facts]: (value: Facts[K], t: Translate) => ReactNode }

const draw: Draw = {
  state: (v, t) => <StatusOf status={v} t={t} />,
  mission: (v) => v || '–',
  operator: (v) => v || '–',
  tags: (v) => v.join(', ') || '–',
  robots: (v) => v?.join(', ') || '–',
  device: (v) => v || '–',
  started: (v) => <DateTime ns={v} digits={3} />,
  duration: (v) => <Duration seconds={v} />,
  size: (v) => <Bytes value={v} />,
  messages: (v) => <Num value={v} />,
  lost: (v) => <Num value={v} />,
  segments: (v) => <Num value={v} />,
  notes: (v) => v || '–',
}

function drawn<K extends keyof Facts>(key: K, facts: Facts, t: Translate): ReactNode {
  return draw[key](facts[key], t)
}

function FactTable({ a, b }: { a: Session; b: Session }) {
  const t = useT('sessions')
  const left = factsOf(a)
  const right = factsOf(b)
  const keys = (Object.keys(draw) as (keyof Facts)[]).filter(
    (k) => left[k] !== undefined || right[k] !== undefined,
  )
  const label = (k: keyof Facts) => t(k === 'lost' && kind() === 'server' ? 'missing' : k)
  return (
    <Table.ScrollContainer minWidth={360}>
      <Table verticalSpacing={6} layout="fixed">
        <Table.Thead>
          <Table.Tr>
            <Table.Th w="28%">{t('name')}</Table.Th>
            {[a, b].map((s, i) => (
              <Table.Th key={i} className="bp-break">
                {'AB'[i]}: <Link to={`/sessions/${encodeURIComponent(s.id)}`}>{s.name}</Link>
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {keys.map((k) => {
            const differs = !same(left[k], right[k])
            return (
              <Table.Tr key={k} className={differs ? css.differs : undefined}>
                <Table.Th fw={500}>
                  {label(k)}
                  {differs && <Differs />}
                </Table.Th>
                <Table.Td className={`bp-break ${css.fact ?? ''}`}>{drawn(k, left, t)}</Table.Td>
                <Table.Td className={`bp-break ${css.fact ?? ''}`}>{drawn(k, right, t)}</Table.Td>
              </Table.Tr>
            )
          })}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}

/** A word besides the colour. */
function Differs() {
  const t = useT('sessions')
  return (
    <Text component="span" size="xs" c="var(--bp-warn)">
      {' '}
      {t('compare.differs')}
    </Text>
  )
}

function TopicTable({ pairs }: { pairs: readonly TopicPair[] }) {
  const t = useT('sessions')
  const [only, setOnly] = useState(false)
  const rows = useMemo(() => pairs.filter((p) => !only || p.differs.size > 0), [pairs, only])
  const different = pairs.filter((p) => p.differs.size > 0).length
  const columns = useMemo(() => columnsOf(t), [t])
  return (
    <Stack gap="xs">
      <Title order={2} size="h4">
        {t('tab.topics')}
      </Title>
      <Switch
        label={t('compare.only', { count: different, all: pairs.length })}
        checked={only}
        onChange={(e) => setOnly(e.currentTarget.checked)}
      />
      {rows.length === 0 ? (
        <Empty icon="ok" title={t('compare.same')} />
      ) : (
        <VirtualTable<TopicPair>
          label={t('tab.topics')}
          columns={columns}
          rows={rows}
          rowKey={(p) => p.topic}
          height={`min(60dvh, ${rows.length * 36 + 56}px)`}
        />
      )}
    </Stack>
  )
}

function wordsOf(p: TopicPair, t: Translate): string {
  if (!p.a) return t('compare.onlyB')
  if (!p.b) return t('compare.onlyA')
  return [...p.differs].map((d) => t(`compare.by.${d}`)).join(', ') || t('compare.equal')
}

function columnsOf(t: Translate): Column<TopicPair>[] {
  const hz = (side: Side): Column<TopicPair> => ({
    id: `hz-${side}`,
    title: `${side.toUpperCase()}: ${t('topics.mean')}`,
    width: '130px',
    align: 'right',
    render: (p) => (
      <span className="bp-num">{p[side]?.rate === undefined ? '–' : figures(p[side].rate)}</span>
    ),
  })
  const count = (side: Side, of: 'messages' | 'lost'): Column<TopicPair> => ({
    id: `${of}-${side}`,
    title: `${side.toUpperCase()}: ${t(of === 'lost' && kind() === 'server' ? 'missing' : of)}`,
    width: of === 'lost' && kind() === 'server' ? '170px' : '130px',
    align: 'right',
    render: (p) => <Num value={p[side]?.[of]} />,
  })
  return [
    {
      id: 'topic',
      title: t('topic'),
      width: 'minmax(160px, 2fr)',
      render: (p) => <span title={typesOf(p)}>{p.topic}</span>,
    },
    {
      id: 'differs',
      title: t('compare.difference'),
      width: '150px',
      render: (p) => (
        <span className={p.differs.size > 0 ? 'bp-state bp-state-warn' : undefined}>
          {wordsOf(p, t)}
        </span>
      ),
    },
    hz('a'),
    hz('b'),
    count('a', 'messages'),
    count('b', 'messages'),
    count('a', 'lost'),
    count('b', 'lost'),
  ]
}

function typesOf(p: TopicPair): string {
  return [...new Set([p.a?.type, p.b?.type].filter(Boolean))].join(' / ')
}
