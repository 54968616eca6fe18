import { Alert, Anchor, Group, Stack, Tabs, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link, useParams } from '@tanstack/react-router'
import { useState } from 'react'

import { useT } from '../../i18n'
import { Empty, ErrorState, Icon, Loading, Page } from '../../shared/ui'
import { Actions } from './Actions'
import { StatusOf } from './columns'
import { Facts } from './Facts'
import { Files } from './Files'
import { Losses } from './Losses'
import { Marks } from './Marks'
import { marksOf, type Session } from './model'
import { sessionQuery } from './queries'
import { Slice } from './Slice'
import { Timeline } from './Timeline'
import { Topics } from './Topics'

const tabs = ['timeline', 'topics', 'losses', 'marks', 'files', 'download'] as const
type Tab = (typeof tabs)[number]

export default function SessionPage() {
  const t = useT('sessions')
  const { id = '' } = useParams({ strict: false }) as { id?: string }
  const { data, error, refetch } = useQuery(sessionQuery(id))
  if (!data) {
    return (
      <Page title={t('common:nav.session')}>
        <Back />
        {error ? <ErrorState error={error} retry={() => void refetch()} /> : <Loading lines={8} />}
      </Page>
    )
  }
  return (
    <Page title={data.name} actions={<Actions session={data} />}>
      <Group gap="md">
        <Back />
        <StatusOf status={data.status} t={t} />
        {data.error && (
          <Text size="sm" className="bp-break">
            {data.error}
          </Text>
        )}
      </Group>
      {error && <ErrorState error={error} retry={() => void refetch()} />}
      {data.status === 'deleted' ? <Gone session={data} /> : <Parts session={data} />}
    </Page>
  )
}

function Back() {
  const t = useT('sessions')
  return (
    <Anchor component={Link} to="/sessions" size="sm">
      {t('back')}
    </Anchor>
  )
}

function Gone({ session }: { session: Session }) {
  const t = useT('sessions')
  return (
    <Stack>
      <Empty icon="trash" title={t('gone')} hint={session.deleted_why || t('goneHint')} />
      <Facts session={session} />
    </Stack>
  )
}

function Parts({ session }: { session: Session }) {
  const t = useT('sessions')
  const [tab, setTab] = useState<Tab>('timeline')
  const counts: Partial<Record<Tab, number>> = { marks: marksOf(session).length }
  return (
    <>
      {session.disk_full && <Alert color="red" icon={<Icon name="bad" />} title={t('diskFull')} />}
      <Facts session={session} />
      <Tabs value={tab} onChange={(v) => setTab((v ?? 'timeline') as Tab)} keepMounted={false}>
        <Tabs.List>
          {tabs.map((name) => (
            <Tabs.Tab key={name} value={name}>
              {t(`tab.${name}`)}
              {counts[name] ? ` (${counts[name]})` : ''}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {tabs.map((name) => (
          <Tabs.Panel key={name} value={name} pt="md">
            <Part tab={name} session={session} />
          </Tabs.Panel>
        ))}
      </Tabs>
    </>
  )
}

function Part({ tab, session }: { tab: Tab; session: Session }) {
  if (tab === 'timeline') return <Timeline session={session} />
  if (tab === 'topics') return <Topics session={session} />
  if (tab === 'losses') return <Losses session={session} />
  if (tab === 'marks') return <Marks session={session} />
  if (tab === 'files') return <Files session={session} />
  return <Slice session={session} />
}
