import { Button, FileButton, Group, Menu, Modal, TextInput } from '@mantine/core'
import { useState } from 'react'

import { useT } from '../../i18n'
import { emptyLayout, parseLayout, type Layout } from './layout'
import { notify } from '../ui'

const MAX_FILE = 1_000_000

export interface LayoutStore {
  layout: Layout
  names: readonly string[]
  choose: (name: string) => void
  add: (layout: Layout) => void
  remove: (name: string) => void
}

function download(layout: Layout): void {
  const url = URL.createObjectURL(
    new Blob([JSON.stringify(layout, null, 2)], { type: 'application/json' }),
  )
  const link = document.createElement('a')
  link.href = url
  link.download = `${layout.name.replace(/[^\w-]+/g, '_')}.json`
  link.click()
  URL.revokeObjectURL(url)
}

async function read(file: File): Promise<Layout | undefined> {
  if (file.size > MAX_FILE) return undefined
  try {
    return parseLayout(JSON.parse(await file.text()))
  } catch {
    return undefined
  }
}

/** Choose, copy, export and import layouts. */
export function LayoutMenu({ store }: { store: LayoutStore }) {
  const t = useT('live')
  const [naming, setNaming] = useState<Layout | undefined>()
  const load = async (file: File | null) => {
    if (!file) return
    const layout = await read(file)
    if (layout) store.add(layout)
    else notify.bad(t('notALayout'))
  }
  return (
    <Group gap="xs">
      <Menu withinPortal>
        <Menu.Target>
          <Button variant="default">{t('layout', { name: store.layout.name })}</Button>
        </Menu.Target>
        <Menu.Dropdown>
          {store.names.map((name) => (
            <Menu.Item key={name} onClick={() => store.choose(name)}>
              {name}
            </Menu.Item>
          ))}
          {store.names.length > 0 && <Menu.Divider />}
          <Menu.Item onClick={() => setNaming(emptyLayout(t('first')))}>{t('new')}</Menu.Item>
          <Menu.Item onClick={() => setNaming(store.layout)}>{t('saveAs')}</Menu.Item>
          <Menu.Item onClick={() => download(store.layout)}>{t('export')}</Menu.Item>
          <Menu.Item
            disabled={!store.names.includes(store.layout.name)}
            onClick={() => store.remove(store.layout.name)}
          >
            {t('remove')}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <FileButton accept="application/json" onChange={(f) => void load(f)}>
        {(props) => (
          <Button variant="default" {...props}>
            {t('import')}
          </Button>
        )}
      </FileButton>
      <Modal opened={naming !== undefined} onClose={() => setNaming(undefined)} title={t('name')}>
        {naming && (
          <NameForm
            first={naming.name}
            onName={(name) => {
              store.add({ ...naming, name })
              setNaming(undefined)
            }}
          />
        )}
      </Modal>
    </Group>
  )
}

function NameForm({ first, onName }: { first: string; onName: (name: string) => void }) {
  const t = useT('live')
  const [name, setName] = useState(first)
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault()
        if (name.trim() !== '') onName(name.trim())
      }}
    >
      <TextInput
        label={t('name')}
        maxLength={80}
        value={name}
        onChange={(e) => setName(e.currentTarget.value)}
        data-autofocus
      />
      <Button type="submit" mt="sm" disabled={name.trim() === ''}>
        {t('save')}
      </Button>
    </form>
  )
}
