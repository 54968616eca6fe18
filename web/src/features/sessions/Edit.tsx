import { Button, Group, Modal, Stack, TagsInput, Textarea, TextInput, Tooltip } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'

import { useT } from '../../i18n'
import { send } from '../../shared/api/client'
import { reaches, useRole } from '../../shared/api/query'
import { Icon, notify } from '../../shared/ui'
import { editOf, type Editable } from './edits'
import type { Session } from './model'
import { sessionPath } from './queries'

export function Edit({ session }: { session: Session }) {
  const t = useT('sessions')
  const [open, setOpen] = useState(false)
  const may = reaches(useRole(), 'operator')
  return (
    <>
      <Tooltip label={t('common:why.role.operator')} disabled={may}>
        <Button
          size="xs"
          variant="default"
          flex="none"
          leftSection={<Icon name="edit" size={14} />}
          aria-disabled={!may}
          data-disabled={!may || undefined}
          onClick={() => may && setOpen(true)}
        >
          {t('edit')}
        </Button>
      </Tooltip>
      <Modal
        opened={open}
        onClose={() => setOpen(false)}
        title={t('edit')}
        centered
        closeButtonProps={{ 'aria-label': t('common:close') }}
      >
        {open && <Form session={session} onDone={() => setOpen(false)} />}
      </Modal>
    </>
  )
}

function Form({ session, onDone }: { session: Session; onDone: () => void }) {
  const t = useT('sessions')
  const client = useQueryClient()
  const [busy, setBusy] = useState(false)
  const [now, setNow] = useState<Editable>({
    mission: session.mission,
    operator: session.operator,
    notes: session.notes,
    tags: session.tags,
  })
  const change = (c: Partial<Editable>) => setNow((old) => ({ ...old, ...c }))
  // What was there when the form was opened: others may change other fields meanwhile.
  const [first] = useState(now)
  const save = async (e: FormEvent) => {
    e.preventDefault()
    const edit = editOf(first, now)
    if (Object.keys(edit).length === 0) return onDone()
    setBusy(true)
    try {
      await send('PATCH', sessionPath(session.id), edit)
      await client.invalidateQueries({ queryKey: ['session', session.id] })
      notify.ok(t('saved'))
      onDone()
    } catch (error) {
      notify.bad(error)
    } finally {
      setBusy(false)
    }
  }
  return (
    <form onSubmit={(e) => void save(e)}>
      <Stack gap="sm">
        <TextInput
          label={t('mission')}
          value={now.mission}
          onChange={(e) => change({ mission: e.currentTarget.value })}
          data-autofocus
        />
        <TextInput
          label={t('operator')}
          value={now.operator}
          onChange={(e) => change({ operator: e.currentTarget.value })}
        />
        <TagsInput
          label={t('tags')}
          description={t('tagsHint')}
          value={now.tags}
          onChange={(tags) => change({ tags })}
        />
        <Textarea
          label={t('notes')}
          autosize
          minRows={3}
          maxRows={12}
          value={now.notes}
          onChange={(e) => change({ notes: e.currentTarget.value })}
        />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onDone}>
            {t('common:cancel')}
          </Button>
          <Button type="submit" loading={busy}>
            {t('common:save')}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
