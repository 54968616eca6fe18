import { Button, Group, Modal, Stack, Text, type ButtonProps } from '@mantine/core'
import { useState } from 'react'

import { useT } from '../../i18n'

interface ConfirmButtonProps {
  label: string
  /** what will happen, and that it cannot be undone where that is so */
  text: string
  onConfirm: () => void | Promise<void>
  danger?: boolean
  disabled?: boolean
  size?: ButtonProps['size']
}

export function ConfirmButton(props: ConfirmButtonProps) {
  const { label, text, onConfirm, danger = false, disabled = false, size = 'xs' } = props
  const [open, setOpen] = useState(false)
  const color = danger ? { color: 'red' } : {}
  return (
    <>
      <Button
        size={size}
        variant={danger ? 'light' : 'default'}
        {...color}
        disabled={disabled}
        onClick={() => setOpen(true)}
      >
        {label}
      </Button>
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
