import { useQuery } from '@tanstack/react-query'

import { useT } from '../../i18n'
import { request } from '../../shared/api/client'
import { Bytes, ErrorState, Loading, Num, State } from '../../shared/ui'
import { Card, Line, Room } from './Cards'

interface ServerStatus {
  storage?: { free?: number; size?: number }
  archive?: {
    sessions: number
    receiving: number
    damaged: number
    bytes: number
    lost: number
  }
  agents?: number
  jobs?: number
}

const ASK_EVERY_MS = 5000

function useServerStatus() {
  return useQuery({
    queryKey: ['status', 'server'],
    queryFn: () => request<ServerStatus>('api/v1/status'),
    refetchInterval: ASK_EVERY_MS,
  })
}

/** What the server keeps of recordings. */
export function ArchiveCard() {
  const t = useT('overview')
  const { data, error, refetch } = useServerStatus()
  const a = data?.archive
  return (
    <Card title={t('archive')}>
      {error && !data && <ErrorState error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading lines={3} />}
      {a && (
        <>
          <Line label={t('common:nav.sessions')}>
            <Num value={a.sessions} /> · <Bytes value={a.bytes} />
          </Line>
          <Line label={t('receiving')}>
            <Num value={a.receiving} />
          </Line>
          <Line label={t('missing')}>
            <Num value={a.lost} unit="msg" />
          </Line>
          {a.damaged > 0 ? (
            <Line label={t('damaged')}>
              <State kind="bad" label={String(a.damaged)} />
            </Line>
          ) : (
            <State kind="ok" label={t('noneDamaged')} />
          )}
        </>
      )}
    </Card>
  )
}

/** Room on the server, and who is connected to it. */
export function ServerCard() {
  const t = useT('overview')
  const { data } = useServerStatus()
  const { free, size } = data?.storage ?? {}
  return (
    <Card title={t('storage')}>
      <Room free={free} size={size} />
      <Line label={t('agents')}>
        <Num value={data?.agents} />
      </Line>
      <Line label={t('common:nav.jobs')}>
        <Num value={data?.jobs} />
      </Line>
    </Card>
  )
}
