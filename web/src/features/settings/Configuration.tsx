import {
  Accordion,
  Alert,
  Button,
  Group,
  Modal,
  Stack,
  Table,
  Text,
  TextInput,
} from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'

import { useT } from '../../i18n'
import { request, send } from '../../shared/api/client'
import { type AgentSchemas, reaches, useRole } from '../../shared/api/query'
import { Empty, ErrorState, Loading, notify } from '../../shared/ui'
import { ConfigField } from './ConfigField'
import { type Change, changes, type Draft, type KeyState, type Schema, sections } from './schema'

interface Config {
  file: string
  keys: Record<string, KeyState>
}

export function Configuration() {
  const config = useQuery({
    queryKey: ['config'],
    queryFn: () => request<Config>('api/v1/config'),
    refetchOnMount: 'always',
  })
  const schema = useQuery({
    queryKey: ['config', 'schema'],
    queryFn: () => request<Schema>('api/v1/config/schema'),
  })
  const error = config.error ?? schema.error
  if (error) return <ErrorState error={error} retry={() => void config.refetch()} />
  if (!config.data || !schema.data) return <Loading lines={8} />
  return <Editor config={config.data} schema={schema.data} />
}

function Editor({ config, schema }: { config: Config; schema: Schema }) {
  const t = useT('settings')
  const admin = reaches(useRole(), 'admin')
  const [text, setText] = useState('')
  const [draft, setDraft] = useState<Draft>({})
  const [review, setReview] = useState(false)
  const diff = changes(draft, config.keys)
  const wanted = text.toLowerCase()
  const names = Object.keys(config.keys).filter(
    (k) => k.includes(wanted) || schema.$defs[k]?.description?.toLowerCase().includes(wanted),
  )
  const set = (key: string, value: string | string[] | null) => setDraft({ ...draft, [key]: value })
  return (
    <Stack>
      <Text size="sm" c="dimmed">
        {t('configHint', { file: config.file })}
      </Text>
      {!admin && <Alert color="gray">{t('common:why.role.admin')}</Alert>}
      <Group justify="space-between">
        <TextInput
          aria-label={t('common:search')}
          placeholder={t('common:search')}
          value={text}
          onChange={(e) => setText(e.currentTarget.value)}
        />
        <Group gap="xs">
          <Button variant="default" disabled={diff.length === 0} onClick={() => setDraft({})}>
            {t('discard')}
          </Button>
          <Button disabled={diff.length === 0} onClick={() => setReview(true)}>
            {t('review', { count: diff.length })}
          </Button>
        </Group>
      </Group>
      {names.length === 0 && <Empty icon="search" title={t('noKeys')} />}
      <Accordion
        multiple
        variant="separated"
        {...(text ? { value: sections(names).map(([s]) => s) } : {})}
      >
        {sections(names).map(([section, keys]) => (
          <Accordion.Item key={section} value={section}>
            <Accordion.Control>{section}</Accordion.Control>
            <Accordion.Panel>
              <Stack gap="lg">
                {keys.map((key) => (
                  <ConfigField
                    key={key}
                    name={key}
                    state={config.keys[key]}
                    schema={schema.$defs[key]}
                    draft={draft[key]}
                    disabled={!admin}
                    onChange={(value) => set(key, value)}
                  />
                ))}
              </Stack>
            </Accordion.Panel>
          </Accordion.Item>
        ))}
      </Accordion>
      {review && (
        <Review
          diff={diff}
          draft={draft}
          onClose={() => setReview(false)}
          onSaved={() => setDraft({})}
        />
      )}
    </Stack>
  )
}

interface ReviewProps {
  diff: Change[]
  draft: Draft
  onClose: () => void
  onSaved: () => void
}

function Review({ diff, draft, onClose, onSaved }: ReviewProps) {
  const t = useT('settings')
  const client = useQueryClient()
  const [busy, setBusy] = useState(false)
  const save = async () => {
    setBusy(true)
    try {
      const body = Object.fromEntries(diff.map((c) => [c.key, draft[c.key]]))
      const report = await send<AgentSchemas['ConfigReport']>('PATCH', 'api/v1/config', body)
      await client.invalidateQueries({ queryKey: ['config'] })
      notify.ok(
        report.restart.length > 0
          ? t('savedRestart', { keys: report.restart.join(', ') })
          : t('saved', { keys: report.changed.join(', ') }),
      )
      onSaved()
      onClose()
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
      size="lg"
      title={t('reviewTitle')}
      closeButtonProps={{ 'aria-label': t('common:close') }}
    >
      <Stack>
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t('keyName')}</Table.Th>
              <Table.Th>{t('before')}</Table.Th>
              <Table.Th>{t('after')}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {diff.map((c) => (
              <Table.Tr key={c.key}>
                <Table.Td className="bp-mono">{c.key}</Table.Td>
                <Table.Td className="bp-break">{c.before || '–'}</Table.Td>
                <Table.Td className="bp-break">
                  {c.after === undefined ? t('takenBack') : c.after || '–'}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
        <Text size="sm" c="dimmed">
          {t('untilEnd')}
        </Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {t('common:cancel')}
          </Button>
          <Button loading={busy} onClick={() => void save()}>
            {t('common:save')}
          </Button>
        </Group>
      </Stack>
    </Modal>
  )
}
