import { Group, Paper, Stack, Text } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'

import { useT } from '../../i18n'
import { kind, request, send } from '../../shared/api/client'
import { reaches, useRole } from '../../shared/api/query'
import { ConfirmButton, DateTime, notify } from '../../shared/ui'
import type { Session } from './model'

interface Decision {
  id: number
  subject: string
  ours: string
  theirs: string
  device: string
  took_theirs: boolean
  time_ns: string | null
  undone_ns: string | null
}

const LIMIT = 20
// Others are names of files.
const FIELDS = new Set(['mission', 'operator', 'notes', 'tags'])

/** What was changed on the robot and here at the same time, and which of the two was taken. */
export function Decisions({ session }: { session: Session }) {
  const t = useT('sessions')
  const p = new URLSearchParams({ session: session.id, limit: String(LIMIT) })
  const { data } = useQuery({
    queryKey: ['session', session.id, 'decisions'],
    queryFn: () => request<{ decisions: Decision[] }>(`api/v1/decisions?${p.toString()}`),
    enabled: kind() === 'server',
  })
  const open = (data?.decisions ?? []).filter((d) => d.undone_ns === null)
  if (open.length === 0) return null
  return (
    <Paper withBorder p="md" component="section" aria-label={t('decisions.title')}>
      <Stack gap="xs">
        <Text fw={600}>{t('decisions.title')}</Text>
        {open.map((d) => (
          <Line key={d.id} decision={d} session={session} />
        ))}
      </Stack>
    </Paper>
  )
}

function Line({ decision: d, session }: { decision: Decision; session: Session }) {
  const t = useT('sessions')
  const client = useQueryClient()
  const may = reaches(useRole(), 'operator')
  const [taken, left] = d.took_theirs ? [d.theirs, d.ours] : [d.ours, d.theirs]
  const subject = FIELDS.has(d.subject) ? t(d.subject) : d.subject
  const undo = async () => {
    try {
      await send('POST', `api/v1/decisions/${d.id}/undo`, {})
      await client.invalidateQueries({ queryKey: ['session', session.id] })
    } catch (error) {
      notify.bad(error)
    }
  }
  return (
    <Group justify="space-between" gap="sm">
      <Text size="sm" component="div" className="bp-break" flex="1 1 240px">
        {t(d.took_theirs ? 'decisions.theirs' : 'decisions.ours', { subject, taken })}{' '}
        {t('decisions.left', { left })} · <DateTime ns={d.time_ns} />
      </Text>
      <ConfirmButton
        label={t('decisions.undo')}
        text={t('decisions.undoText', { left })}
        disabled={!may}
        onConfirm={undo}
      />
    </Group>
  )
}
