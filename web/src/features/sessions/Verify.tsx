import { Button, Code, Group, Progress, Stack, Text, Tooltip } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'

import { useT } from '../../i18n'
import { request, send } from '../../shared/api/client'
import { type AgentSchemas, reaches, useRole } from '../../shared/api/query'
import { Bytes, ErrorState, Icon, notify, Num, State, type StateKind } from '../../shared/ui'
import { isRunning, type Session } from './model'
import { sessionPath } from './queries'

type Job = AgentSchemas['Job']

interface Verdict {
  verdict: string
  files: number
  bytes: number
  messages: number
  lost: number
}

const EVERY_MS = 700

const looks: Record<string, StateKind> = { whole: 'ok', damaged: 'warn', unusable: 'bad' }

function isOpen(job: Job | undefined): boolean {
  return job?.state === 'queued' || job?.state === 'running'
}

/** Has every byte of a finished session checked, as a job. */
export function Verify({ session, onDone }: { session: Session; onDone: () => void }) {
  const t = useT('sessions')
  const may = reaches(useRole(), 'operator')
  const [id, setId] = useState<string | undefined>()
  const { data: job, error } = useQuery({
    queryKey: ['jobs', 'one', id],
    queryFn: () => request<Job>(`api/v1/jobs/${encodeURIComponent(id ?? '')}`),
    enabled: id !== undefined,
    refetchInterval: (q) => (q.state.data && !isOpen(q.state.data) ? false : EVERY_MS),
  })
  const ended = job !== undefined && !isOpen(job)
  const told = useRef(onDone)
  told.current = onDone
  useEffect(() => {
    if (ended) told.current()
  }, [ended, id])
  const start = async () => {
    try {
      setId((await send<Job>('POST', sessionPath(session.id, '/verify'), {})).id)
    } catch (e) {
      notify.bad(e)
    }
  }
  const why = !may ? t('common:why.role.operator') : isRunning(session) ? t('verify.running') : ''
  return (
    <Stack gap="xs">
      <Group>
        <Tooltip label={why} disabled={why === ''}>
          <Button
            variant="default"
            leftSection={<Icon name="ok" />}
            loading={id !== undefined && !ended && !error}
            aria-disabled={why !== ''}
            data-disabled={why !== '' || undefined}
            onClick={() => why === '' && void start()}
          >
            {t('verify.go')}
          </Button>
        </Tooltip>
        <Text size="sm" c="dimmed">
          {t('verify.hint')}
        </Text>
      </Group>
      {error && <ErrorState error={error} />}
      {job && <Outcome job={job} />}
    </Stack>
  )
}

function Outcome({ job }: { job: Job }) {
  const t = useT('sessions')
  const { done, total } = job.progress
  if (isOpen(job)) {
    return (
      <Progress
        value={total > 0 ? (done / total) * 100 : 0}
        aria-label={t('verify.progress')}
        animated
      />
    )
  }
  const verdict = job.result as Verdict | null
  return (
    <Stack gap="xs" role="status">
      {verdict ? (
        <Group gap="md">
          <State
            kind={looks[verdict.verdict] ?? 'unknown'}
            label={t(`verify.${verdict.verdict}`)}
          />
          <Text size="sm" component="div">
            <Num value={verdict.files} unit={t('verify.files')} /> · <Bytes value={verdict.bytes} />{' '}
            · <Num value={verdict.messages} unit={t('verify.messages')} />
          </Text>
        </Group>
      ) : (
        <State kind="bad" label={job.error ?? t('verify.failed')} />
      )}
      {job.log && (
        <Code block className="bp-break">
          {job.log}
        </Code>
      )}
    </Stack>
  )
}
