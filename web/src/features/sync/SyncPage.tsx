import { Button, Group, Paper, Progress, Stack, Text } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'

import { useT } from '../../i18n'
import { ApiError, kind, request, send } from '../../shared/api/client'
import { reaches, useRole } from '../../shared/api/query'
import {
  Bytes,
  Duration,
  Empty,
  ErrorState,
  Loading,
  notify,
  Num,
  Page,
  Rate,
  State,
  type StateKind,
} from '../../shared/ui'
import { Files } from './Files'

interface Amount {
  files: number
  bytes: number
}

interface Active {
  file: string
  bytes: number
  done: number
  rate: number
  eta_s: number | null
}

interface Target {
  name: string
  url: string
  state: string
  text?: string
  waiting: Amount
  parked: Amount
  failed: Amount
  done: Amount
  rate: number
  eta_s: number | null
  active: Active[]
}

const EVERY_MS = 2000

const kinds: Record<string, StateKind> = {
  online: 'ok',
  offline: 'bad',
  waiting: 'warn',
  paused: 'warn',
  closed_window: 'idle',
}

export default function SyncPage() {
  const t = useT('sync')
  return (
    <Page title={t('common:nav.sync')}>
      {kind() === 'agent' ? (
        <Targets />
      ) : (
        <Empty icon="sync" title={t('onRobot')} hint={t('onRobotHint')} />
      )}
    </Page>
  )
}

function Targets() {
  const t = useT('sync')
  const { data, error, refetch } = useQuery({
    queryKey: ['sync'],
    queryFn: () => request<{ targets: Target[] }>('api/v1/sync'),
    refetchInterval: EVERY_MS, // parts on their way are no events
  })
  if (!data && error) {
    const none = error instanceof ApiError && (error.status === 404 || error.status === 409)
    if (none) return <Empty icon="sync" title={t('none')} hint={t('noneHint')} />
    return <ErrorState error={error} retry={() => void refetch()} />
  }
  if (!data) return <Loading />
  if (data.targets.length === 0) {
    return <Empty icon="sync" title={t('none')} hint={t('noneHint')} />
  }
  return (
    <Stack>
      {data.targets.map((one) => (
        <TargetCard key={one.name} target={one} />
      ))}
      <Files />
    </Stack>
  )
}

function TargetCard({ target }: { target: Target }) {
  const t = useT('sync')
  return (
    <Paper withBorder p="md">
      <Stack gap="xs">
        <Group justify="space-between">
          <Group>
            <Text component="h2" size="md" fw={600} m={0}>
              {target.name}
            </Text>
            <State kind={kinds[target.state] ?? 'unknown'} label={t(`state.${target.state}`)} />
          </Group>
          <Actions target={target} />
        </Group>
        <Text size="sm" className="bp-break">
          {target.url}
        </Text>
        {target.text && (
          <Text size="sm" className="bp-break">
            {target.text}
          </Text>
        )}
        <Group gap="lg">
          {(['waiting', 'parked', 'failed', 'done'] as const).map((key) => (
            <Text size="sm" key={key}>
              {t(key)} <Num value={target[key].files} /> · <Bytes value={target[key].bytes} />
            </Text>
          ))}
          <Text size="sm">
            {t('rate')} <Rate value={target.rate} />
          </Text>
          <Text size="sm">
            {t('eta')} <Duration seconds={target.eta_s} />
          </Text>
        </Group>
        {target.active.map((a) => (
          <Stack gap={2} key={a.file}>
            <Text size="sm" className="bp-break">
              {a.file} · <Bytes value={a.done} /> / <Bytes value={a.bytes} /> ·{' '}
              <Rate value={a.rate} />
            </Text>
            <Progress value={a.bytes > 0 ? (a.done / a.bytes) * 100 : 0} aria-label={a.file} />
          </Stack>
        ))}
      </Stack>
    </Paper>
  )
}

function Actions({ target }: { target: Target }) {
  const t = useT('sync')
  const client = useQueryClient()
  const operator = reaches(useRole(), 'operator')
  const act = async (what: string) => {
    try {
      await send('POST', `api/v1/sync/${what}`, { target: target.name })
      await client.invalidateQueries({ queryKey: ['sync'] })
      notify.ok(t(`did.${what}`, { name: target.name }))
    } catch (error) {
      notify.bad(error)
    }
  }
  const names = ['now', target.state === 'paused' ? 'resume' : 'pause', 'retry']
  return (
    <Group gap="xs">
      {!operator && (
        <Text size="sm" c="dimmed">
          {t('common:why.role.operator')}
        </Text>
      )}
      {names.map((what) => (
        <Button
          key={what}
          size="xs"
          variant="default"
          disabled={!operator}
          onClick={() => void act(what)}
        >
          {t(`do.${what}`)}
        </Button>
      ))}
    </Group>
  )
}
