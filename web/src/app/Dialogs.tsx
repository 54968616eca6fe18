import { Button, Group, Modal, NumberInput, Stack, TagsInput, TextInput } from '@mantine/core'
import { type FormEvent, type ReactNode, useState } from 'react'

import { useT } from '../i18n'
import { command } from '../shared/recorder'
import { notify } from '../shared/ui'
import { Confirm } from '../shared/ui/ConfirmButton'
import { closeDialog, useDialog } from './dialogs'
import { Palette } from './Palette'

/** The dialogs of the commands. */
export function Dialogs() {
  const t = useT('common')
  const dialog = useDialog()
  if (!dialog) return null
  switch (dialog.kind) {
    case 'confirm':
      return (
        <Confirm
          open
          title={t(dialog.title)}
          text={t(dialog.text)}
          danger={dialog.danger ?? false}
          onClose={closeDialog}
          onConfirm={dialog.go}
        />
      )
    case 'start':
      return <StartDialog />
    case 'mark':
      return <MarkDialog />
    case 'snapshot':
      return <SnapshotDialog />
    case 'palette':
      return <Palette onClose={closeDialog} />
  }
}

interface FormProps {
  title: string
  submit: string
  done: string
  go: () => Promise<unknown>
  children: ReactNode
}

function FormDialog({ title, submit, done, go, children }: FormProps) {
  const t = useT('common')
  const [busy, setBusy] = useState(false)
  const run = async (e: FormEvent) => {
    e.preventDefault()
    setBusy(true)
    try {
      await go()
      notify.ok(done)
      closeDialog()
    } catch (error) {
      notify.bad(error)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Modal
      opened
      onClose={closeDialog}
      title={title}
      centered
      closeButtonProps={{ 'aria-label': t('close') }}
    >
      <form onSubmit={(e) => void run(e)}>
        <Stack gap="sm">
          {children}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={closeDialog}>
              {t('cancel')}
            </Button>
            <Button type="submit" loading={busy}>
              {submit}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  )
}

function StartDialog() {
  const t = useT('common')
  const [name, setName] = useState('')
  const [mission, setMission] = useState('')
  const [topics, setTopics] = useState<string[]>([])
  const [tags, setTags] = useState<string[]>([])
  const go = () =>
    command('session.start', {
      ...(name ? { name } : {}),
      ...(mission ? { mission } : {}),
      ...(topics.length > 0 ? { topics } : {}),
      ...(tags.length > 0 ? { tags } : {}),
    })
  return (
    <FormDialog
      title={t('command.start')}
      submit={t('command.start')}
      done={t('done.start')}
      go={go}
    >
      <TextInput
        label={t('start.name')}
        description={t('start.nameHint')}
        placeholder="{robot}_{date}_{time}"
        value={name}
        onChange={(e) => setName(e.currentTarget.value)}
        data-autofocus
      />
      <TextInput
        label={t('start.mission')}
        value={mission}
        onChange={(e) => setMission(e.currentTarget.value)}
      />
      <TagsInput
        label={t('start.topics')}
        description={t('start.topicsHint')}
        placeholder="/robot1/*"
        value={topics}
        onChange={setTopics}
      />
      <TagsInput label={t('start.tags')} value={tags} onChange={setTags} />
    </FormDialog>
  )
}

function MarkDialog() {
  const t = useT('common')
  const [text, setText] = useState('')
  return (
    <FormDialog
      title={t('command.mark')}
      submit={t('command.mark')}
      done={t('done.mark')}
      go={() => command('session.mark', { text })}
    >
      <TextInput
        label={t('mark.text')}
        value={text}
        onChange={(e) => setText(e.currentTarget.value)}
        required
        data-autofocus
      />
    </FormDialog>
  )
}

function SnapshotDialog() {
  const t = useT('common')
  const [reason, setReason] = useState('')
  const [before, setBefore] = useState<number | string>('')
  const [after, setAfter] = useState<number | string>('')
  const go = () =>
    command('snapshot', {
      ...(reason ? { reason } : {}),
      ...(typeof before === 'number' ? { before_s: before } : {}),
      ...(typeof after === 'number' ? { after_s: after } : {}),
    })
  return (
    <FormDialog
      title={t('command.snapshot')}
      submit={t('command.snapshot')}
      done={t('done.snapshot')}
      go={go}
    >
      <TextInput
        label={t('snapshot.reason')}
        value={reason}
        onChange={(e) => setReason(e.currentTarget.value)}
        data-autofocus
      />
      <Group grow>
        <NumberInput
          label={t('snapshot.before')}
          suffix=" s"
          min={0}
          value={before}
          onChange={setBefore}
        />
        <NumberInput
          label={t('snapshot.after')}
          suffix=" s"
          min={0}
          value={after}
          onChange={setAfter}
        />
      </Group>
    </FormDialog>
  )
}
