import { Alert, Grid, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'

import { useT } from '../../i18n'
import { request } from '../../shared/api/client'
import { useServerTime } from '../../shared/live'
import { Age, Empty, ErrorState, Icon, Loading, Page } from '../../shared/ui'
import { Agent, Clock, Power } from './Facts'
import { History, type Seen } from './history'
import { type Host, sampleOf, takenMs } from './host'
import { Disks } from './Disks'
import { Network } from './Network'
import { Memory, Processor } from './Processor'
import { Temperatures } from './Temperatures'

const EVERY_MS = 2000
const OLD_MS = 10_000

// The page may be left and come back: what was seen stays.
const history = new History()

/** The machine that the agent runs on. */
export default function SystemPage() {
  const t = useT('system')
  const { data, error, refetch } = useQuery({
    queryKey: ['host'],
    queryFn: () => request<Host>('api/v1/host'),
    refetchInterval: EVERY_MS, // no event: only who looks at this page wants to know
    staleTime: 0,
  })
  const [seen, setSeen] = useState<Seen>(() => history.read())
  useEffect(() => {
    const at = data && takenMs(data)
    if (at !== undefined && history.add(sampleOf(data!), at)) setSeen(history.read())
  }, [data])
  return (
    <Page title={t('common:nav.system')} actions={data && <Taken host={data} />}>
      {error && <ErrorState error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading lines={6} />}
      {data && data.taken_ns === null && <Empty icon="system" title={t('notYet')} />}
      {data && data.taken_ns !== null && <Parts host={data} seen={seen} />}
    </Page>
  )
}

function Taken({ host }: { host: Host }) {
  const t = useT('system')
  const now = useServerTime(1000)
  const at = takenMs(host)
  const old = at !== undefined && now - at > OLD_MS
  return (
    <Text size="sm" c="dimmed" className={old ? 'bp-stale' : undefined}>
      {t('asOf')} <Age at={at} />
    </Text>
  )
}

function Parts({ host, seen }: { host: Host; seen: Seen }) {
  const t = useT('system')
  return (
    <>
      {host.missing.length > 0 && (
        <Alert color="gray" icon={<Icon name="unknown" />}>
          {t('missing', { parts: host.missing.map((part) => t(`part.${part}`)).join(', ') })}
        </Alert>
      )}
      <Grid gap="md">
        <Processor host={host} seen={seen} />
        <Memory host={host} seen={seen} />
        <Disks host={host} seen={seen} />
        <Network host={host} seen={seen} />
        <Agent host={host} seen={seen} />
        <Temperatures host={host} seen={seen} />
        <Clock host={host} />
        <Power host={host} />
      </Grid>
    </>
  )
}
