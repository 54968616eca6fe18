import { Button, Group, Modal, Stack, Text, Tooltip, type ButtonProps } from '@mantine/core'
import { useState, type ReactElement } from 'react'

import { useT } from '../../i18n'

/** A button that cannot be pressed and can still be reached by Tab, so that its reason is read. */
export function offBy(why: string | undefined) {
  return why === undefined ? {} : { 'aria-disabled': true, 'data-disabled': true }
}

/** Shows why the button inside cannot be pressed. */
export function Why({ text, children }: { text: string | undefined; children: ReactElement }) {
  return (
    <Tooltip
      label={text ?? ''}
      disabled={text === undefined}
      events={{ hover: true, focus: true, touch: true }}
      withinPortal
    >
      {children}
    </Tooltip>
  )
}

interface ConfirmButtonProps {
  label: string
  /** what will happen, and that it cannot be undone where that is so */
  text: string
  onConfirm: () => void | Promise<void>
  danger?: boolean
  disabled?: boolean
  /** why it cannot be pressed; with it the button is off, and says so when pointed at or focused */
  why?: string | undefined
  size?: ButtonProps['size']
}

export function ConfirmButton(props: ConfirmButtonProps) {
  const { label, text, onConfirm, danger = false, disabled = false, why, size = 'xs' } = props
  const [open, setOpen] = useState(false)
  const color = danger ? { color: 'red' } : {}
  return (
    <>
      <Why text={why}>
        <Button
          size={size}
          variant={danger ? 'light' : 'default'}
          {...color}
          disabled={disabled}
          {...offBy(why)}
          onClick={() => why === undefined && setOpen(true)}
        >
          {label}
        </Button>
      </Why>
      <Confirm
        open={open}
        title={label}
        text={text}
        danger={danger}
        onClose={() => setOpen(false)}
        onConfirm={onConfirm}
      />
    </>
  )
}

interface ConfirmProps {
  open: boolean
  title: string
  text: string
  danger?: boolean
  onClose: () => void
  onConfirm: () => void | Promise<void>
}

export function Confirm({ open, title, text, danger, onClose, onConfirm }: ConfirmProps) {
  const t = useT('common')
  const [busy, setBusy] = useState(false)
  const go = async () => {
    setBusy(true)
    try {
      await onConfirm()
    } finally {
      setBusy(false)
      onClose()
    }
  }
  return (
    <Modal
      opened={open}
      onClose={onClose}
      title={title}
      centered
      closeButtonProps={{ 'aria-label': t('close') }}
    >
      <Stack>
        <Text size="sm">{text}</Text>
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose} data-autofocus>
            {t('cancel')}
          </Button>
          <Button {...(danger ? { color: 'red' } : {})} loading={busy} onClick={() => void go()}>
            {title}
          </Button>
        </Group>
      </Stack>
    </Modal>
  )
}
