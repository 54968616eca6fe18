import { Modal, ScrollArea, Stack, Text, TextInput, UnstyledButton, Group } from '@mantine/core'
import { useNavigate } from '@tanstack/react-router'
import { type KeyboardEvent, useEffect, useState } from 'react'

import { useT } from '../i18n'
import { kind } from '../shared/api/client'
import { Icon, type IconName } from '../shared/ui'
import { useCommandContext } from './CommandButton'
import { allowed, commands } from './commands'
import { pages } from './pages'

interface Item {
  id: string
  title: string
  icon: IconName | undefined
  hint: string
  run: (() => void) | undefined
}

function useItems(onClose: () => void): Item[] {
  const t = useT('common')
  const ctx = useCommandContext()
  const navigate = useNavigate()
  const places = pages
    .filter((p) => !p.hidden && (p.where === 'both' || p.where === kind()))
    .map((p) => ({
      id: p.path,
      title: t(p.nav),
      icon: p.icon,
      hint: '',
      run: () => {
        onClose()
        void navigate({ to: p.path })
      },
    }))
  const deeds = commands
    .filter((c) => c.id !== 'palette')
    .map((c) => {
      const may = allowed(c, ctx)
      return {
        id: c.id,
        title: t(c.title),
        icon: c.icon,
        hint: may === true ? (c.keys ?? '') : t(may),
        run:
          may === true
            ? () => {
                onClose()
                void c.run(ctx)
              }
            : undefined,
      }
    })
  return [...deeds, ...places]
}

/** Commands and pages by name. */
export function Palette({ onClose }: { onClose: () => void }) {
  const t = useT('common')
  const [text, setText] = useState('')
  const [at, setAt] = useState(0)
  const items = useItems(onClose).filter((i) => i.title.toLowerCase().includes(text.toLowerCase()))
  useEffect(() => {
    document.getElementById(`palette-${at}`)?.scrollIntoView({ block: 'nearest' })
  }, [at])
  const key = (e: KeyboardEvent) => {
    if (e.key === 'ArrowDown') setAt(Math.max(0, Math.min(items.length - 1, at + 1)))
    else if (e.key === 'ArrowUp') setAt(Math.max(0, at - 1))
    else if (e.key === 'Enter') items[at]?.run?.()
    else return
    e.preventDefault()
  }
  return (
    <Modal
      opened
      onClose={onClose}
      title={t('command.palette')}
      yOffset="12vh"
      closeButtonProps={{ 'aria-label': t('close') }}
    >
      <TextInput
        aria-label={t('search')}
        placeholder={t('search')}
        value={text}
        onChange={(e) => {
          setText(e.currentTarget.value)
          setAt(0)
        }}
        onKeyDown={key}
        role="combobox"
        aria-expanded
        aria-controls="palette-list"
        aria-activedescendant={items[at] ? `palette-${at}` : undefined}
        data-autofocus
      />
      <Text size="sm" c="dimmed" mt="xs" role="status">
        {items.length === 0 ? t('noneFits') : ''}
      </Text>
      <ScrollArea.Autosize mah="50vh" offsetScrollbars="y">
        <Stack gap={2} role="listbox" id="palette-list" aria-label={t('command.palette')}>
          {items.map((i, n) => (
            <UnstyledButton
              key={i.id}
              id={`palette-${n}`}
              role="option"
              aria-selected={n === at}
              aria-disabled={!i.run}
              tabIndex={-1}
              className={n === at ? 'bp-chosen' : undefined}
              p="xs"
              onClick={() => i.run?.()}
            >
              <Group justify="space-between" wrap="nowrap">
                <Group gap="xs" wrap="nowrap">
                  {i.icon && <Icon name={i.icon} />}
                  <Text size="sm">{i.title}</Text>
                </Group>
                <Text size="xs" c="dimmed">
                  {i.hint}
                </Text>
              </Group>
            </UnstyledButton>
          ))}
        </Stack>
      </ScrollArea.Autosize>
    </Modal>
  )
}
