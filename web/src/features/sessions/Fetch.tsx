import { Button, Group, Paper, Stack, Text, Title, Tooltip } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'

import { useT } from '../../i18n'
import { send } from '../../shared/api/client'
import { reaches, useRole } from '../../shared/api/query'
import { Icon, notify } from '../../shared/ui'
import type { Session } from './model'
import { sessionPath } from './queries'

interface Fetched {
  missing: number
  complete: boolean
}

/** Has the robot send what is not here yet; only where something is missing. */
export function Fetch({ session }: { session: Session }) {
  const t = useT('sessions')
  const client = useQueryClient()
  const may = reaches(useRole(), 'operator')
  const [busy, setBusy] = useState(false)
  const missing = session.segments - (session.segments_here ?? session.segments)
  if (missing <= 0 || !session.device) return null
  const go = async () => {
    setBusy(true)
    try {
      const got = await send<Fetched>('POST', sessionPath(session.id, '/fetch'), {})
      notify.ok(t('fetch.done', { count: got.missing }))
      await client.invalidateQueries({ queryKey: ['session', session.id] })
    } catch (error) {
      notify.bad(error)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Paper withBorder p="md">
      <Stack gap="xs" align="flex-start">
        <Title order={2} size="h5">
          {t('fetch.title')}
        </Title>
        <Text size="sm">{t('fetch.text', { count: missing })}</Text>
        <Group>
          <Tooltip label={t('common:why.role.operator')} disabled={may}>
            <Button
              variant="default"
              loading={busy}
              aria-disabled={!may}
              data-disabled={!may || undefined}
              leftSection={<Icon name="sync" />}
              onClick={() => may && void go()}
            >
              {t('fetch.go')}
            </Button>
          </Tooltip>
        </Group>
      </Stack>
    </Paper>
  )
}
