import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'

import { useT } from '../../i18n'
import { send } from '../../shared/api/client'
import { type AgentSchemas, reaches, useRole } from '../../shared/api/query'
import { DateTime, Icon, notify } from '../../shared/ui'
import { bytesOf, NOTE_BYTES } from './note'

type Alert = AgentSchemas['Alerts']['alerts'][number]

/** Who has seen an alert; who has not may say so while it is active. */
export function Seen({ alert }: { alert: Alert }) {
  const t = useT('alerts')
  const by = alert.acknowledged_by
  return (
    <Stack gap={4} align="flex-start">
      {by ? (
        <>
          <Text size="sm" component="div" className="bp-break">
            <Icon name="ok" size={14} /> {by}
          </Text>
          <Text size="xs" component="div" c="dimmed">
            <DateTime ns={alert.acknowledged_ns} />
          </Text>
          {alert.note && (
            <Text size="sm" className="bp-break">
              {alert.note}
            </Text>
          )}
        </>
      ) : (
        <Text size="sm">{t('notSeen')}</Text>
      )}
      {alert.state === 'active' && <AcknowledgeButton alert={alert} again={Boolean(by)} />}
    </Stack>
  )
}

function AcknowledgeButton({ alert, again }: { alert: Alert; again: boolean }) {
  const t = useT('alerts')
  const operator = reaches(useRole(), 'operator')
  const [open, setOpen] = useState(false)
  return (
    <>
      <Button size="xs" variant="default" disabled={!operator} onClick={() => setOpen(true)}>
        {t(again ? 'acknowledgeAgain' : 'acknowledge')}
      </Button>
      {!operator && (
        <Text size="xs" c="dimmed">
          {t('common:why.role.operator')}
        </Text>
      )}
      {open && <AcknowledgeForm alert={alert} onClose={() => setOpen(false)} />}
    </>
  )
}

function AcknowledgeForm({ alert, onClose }: { alert: Alert; onClose: () => void }) {
  const t = useT('alerts')
  const client = useQueryClient()
  const [note, setNote] = useState(alert.note ?? '')
  const [busy, setBusy] = useState(false)
  const tooLong = bytesOf(note) > NOTE_BYTES
  const go = async (e: FormEvent) => {
    e.preventDefault()
    setBusy(true)
    try {
      const path = `api/v1/alerts/${encodeURIComponent(alert.key)}/acknowledge`
      await send('POST', path, note.trim() ? { note: note.trim() } : {})
      notify.ok(t('acknowledged', { key: alert.key }))
      onClose()
      await client.invalidateQueries({ queryKey: ['alerts'] })
    } catch (error) {
      notify.bad(error)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Modal
      opened
      onClose={onClose}
      title={t('acknowledge')}
      centered
      closeButtonProps={{ 'aria-label': t('common:close') }}
    >
      <form onSubmit={(e) => void go(e)}>
        <Stack>
          <Text size="sm" className="bp-break">
            {alert.text}
          </Text>
          <TextInput
            label={t('note')}
            description={t('noteHint')}
            value={note}
            error={tooLong ? t('noteTooLong') : undefined}
            onChange={(e) => setNote(e.currentTarget.value)}
            data-autofocus
          />
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              {t('common:cancel')}
            </Button>
            <Button type="submit" loading={busy} disabled={tooLong}>
              {t('acknowledge')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  )
}
