import { Button, CloseButton, Group, Select, Stack, Text } from '@mantine/core'
import { useState } from 'react'

import { useT } from '../../i18n'
import { fieldName, type Field } from './fields'
import { useLatest } from './hooks'
import { join, numericFields } from './paths'
import type { PanelSource } from './source'
import { TopicSelect } from './TopicSelect'

interface PickProps {
  source: PanelSource
  /** texts and truth values too, not only numbers */
  all?: boolean
  value: Field | undefined
  onChange: (field: Field) => void
}

/** Choose a topic, then one of the fields that its newest message has. */
export function FieldPick({ source, all = false, value, onChange }: PickProps) {
  const t = useT('panels')
  const [topic, setTopic] = useState(value?.topic ?? '')
  const message = useLatest(source, topic, 1)
  const paths = message ? (all ? leaves(message.value) : numbers(message.value)) : []
  const known = value && value.topic === topic ? [value.path] : []
  return (
    <Stack gap="xs">
      <TopicSelect source={source} label={t('topic')} value={topic} onChange={setTopic} />
      <Select
        label={t('field')}
        data={[...new Set([...known, ...paths])]}
        value={known[0] ?? null}
        disabled={topic === ''}
        searchable
        limit={100}
        placeholder={t(paths.length > 0 || topic === '' ? 'chooseField' : 'waitForMessage')}
        nothingFoundMessage={message?.why ?? t('noSuchField')}
        onChange={(path) => path !== null && onChange({ topic, path })}
      />
    </Stack>
  )
}

function numbers(value: unknown): string[] {
  return numericFields(value).map((f) => f.path)
}

/** Paths of all texts, numbers and truth values. */
function leaves(value: unknown, path = '', depth = 0): string[] {
  if (value === null || value === undefined || depth > 12) return []
  if (typeof value !== 'object') return path === '' ? [] : [path]
  const entries: [string | number, unknown][] = Array.isArray(value)
    ? value.slice(0, 16).map((v, i) => [i, v])
    : Object.entries(value)
  return entries.flatMap(([k, v]) => leaves(v, join(path, k), depth + 1)).slice(0, 400)
}

/** Several fields, each with a way to take it out. */
export function FieldsPick({
  source,
  value,
  onChange,
}: {
  source: PanelSource
  value: readonly Field[]
  onChange: (fields: Field[]) => void
}) {
  const t = useT('panels')
  const [next, setNext] = useState<Field | undefined>()
  const add = () => {
    if (next) onChange([...value.filter((f) => fieldName(f) !== fieldName(next)), next])
    setNext(undefined)
  }
  return (
    <Stack gap="xs">
      {value.map((f) => (
        <Group key={fieldName(f)} justify="space-between" wrap="nowrap">
          <Text size="sm" truncate>
            {fieldName(f)}
          </Text>
          <CloseButton
            size="sm"
            aria-label={t('removeField', { field: fieldName(f) })}
            onClick={() => onChange(value.filter((g) => g !== f))}
          />
        </Group>
      ))}
      <FieldPick source={source} value={next} onChange={setNext} />
      <Button variant="default" disabled={!next || value.length >= 12} onClick={add}>
        {t('addField')}
      </Button>
    </Stack>
  )
}
