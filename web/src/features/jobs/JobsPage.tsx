import { Code, Group, Paper, Progress, Stack, Text } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'

import { useT } from '../../i18n'
import { request, send } from '../../shared/api/client'
import { type AgentSchemas, reaches, useRole } from '../../shared/api/query'
import {
  ConfirmButton,
  DateTime,
  Empty,
  ErrorState,
  Loading,
  notify,
  Num,
  Page,
  State,
  type StateKind,
} from '../../shared/ui'

type Job = AgentSchemas['Job']

const EVERY_MS = 2000
const LIMIT = 100

const kinds: Record<Job['state'], StateKind> = {
  queued: 'idle',
  running: 'warn',
  done: 'ok',
  failed: 'bad',
  cancelled: 'idle',
  interrupted: 'bad',
}

export default function JobsPage() {
  const t = useT('jobs')
  const { data, error, refetch } = useQuery({
    queryKey: ['jobs'],
    queryFn: () => request<AgentSchemas['Jobs']>(`api/v1/jobs?limit=${LIMIT}`),
    refetchInterval: EVERY_MS, // progress is no event
  })
  return (
    <Page title={t('common:nav.jobs')}>
      {error && <ErrorState error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading />}
      {data?.jobs.length === 0 && <Empty icon="jobs" title={t('none')} hint={t('noneHint')} />}
      {data?.jobs.map((job) => (
        <JobCard key={job.id} job={job} />
      ))}
      {data?.next != null && <Text size="sm">{t('first', { count: LIMIT })}</Text>}
    </Page>
  )
}

function JobCard({ job }: { job: Job }) {
  const t = useT('jobs')
  const { done, total } = job.progress
  const open = job.state === 'queued' || job.state === 'running'
  return (
    <Paper withBorder p="md">
      <Stack gap="xs">
        <Group justify="space-between">
          <Group>
            <Text component="h2" size="md" fw={600} m={0} className="bp-break">
              {job.kind} · {job.subject}
            </Text>
            <State kind={kinds[job.state]} label={t(`state.${job.state}`)} />
          </Group>
          <EndButton job={job} open={open} />
        </Group>
        {job.state === 'running' && total > 0 && (
          <Progress value={(done / total) * 100} aria-label={t('progress')} />
        )}
        <Group gap="lg">
          <Text size="sm">
            {t('progress')} <Num value={done} /> / <Num value={total > 0 ? total : undefined} />
          </Text>
          <Text size="sm">
            {t('created')} <DateTime ns={job.created_ns} />
          </Text>
          <Text size="sm">
            {t('ended')} <DateTime ns={job.ended_ns} />
          </Text>
        </Group>
        {job.error && (
          <Text size="sm" className="bp-break">
            {job.error}
          </Text>
        )}
        {job.log && (
          <details>
            <summary>{t('log')}</summary>
            <Code block className="bp-break">
              {job.log}
            </Code>
          </details>
        )}
      </Stack>
    </Paper>
  )
}

function EndButton({ job, open }: { job: Job; open: boolean }) {
  const t = useT('jobs')
  const client = useQueryClient()
  const admin = reaches(useRole(), 'admin')
  const end = async () => {
    try {
      await send('DELETE', `api/v1/jobs/${encodeURIComponent(job.id)}`)
      await client.invalidateQueries({ queryKey: ['jobs'] })
    } catch (error) {
      notify.bad(error)
    }
  }
  if (!admin) {
    return (
      <Text size="sm" c="dimmed">
        {t('common:why.role.admin')}
      </Text>
    )
  }
  return (
    <ConfirmButton
      label={t(open ? 'cancel' : 'forget')}
      text={t(open ? 'cancelText' : 'forgetText')}
      danger={open}
      onConfirm={end}
    />
  )
}
