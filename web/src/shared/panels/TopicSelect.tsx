import { MultiSelect, Select } from '@mantine/core'

import { useT } from '../../i18n'
import { useTopics } from './hooks'
import type { PanelSource } from './source'

interface Common {
  source: PanelSource
  label: string
  /** only topics of these types; without: all */
  types?: readonly string[]
}

// A list of thousands would be rendered whole; typing narrows it down.
const SHOWN = 100

function useNames(source: PanelSource, types: readonly string[] | undefined, more: string[]) {
  const topics = useTopics(source)
  const names = topics.filter((t) => !types || types.includes(t.type)).map((t) => t.name)
  return [...new Set([...names, ...more])]
}

export function TopicSelect({
  source,
  label,
  types,
  value,
  onChange,
}: Common & { value: string; onChange: (topic: string) => void }) {
  const t = useT('panels')
  const data = useNames(source, types, value === '' ? [] : [value])
  return (
    <Select
      label={label}
      data={data}
      value={value === '' ? null : value}
      onChange={(v) => v !== null && onChange(v)}
      searchable
      limit={SHOWN}
      allowDeselect={false}
      placeholder={t('chooseTopic')}
      nothingFoundMessage={t('noSuchTopic')}
      comboboxProps={{ withinPortal: true }}
    />
  )
}

export function TopicsSelect({
  source,
  label,
  types,
  value,
  onChange,
}: Common & { value: string[]; onChange: (topics: string[]) => void }) {
  const t = useT('panels')
  const data = useNames(source, types, value)
  return (
    <MultiSelect
      label={label}
      data={data}
      value={value}
      onChange={onChange}
      searchable
      clearable
      limit={SHOWN}
      maxValues={12}
      nothingFoundMessage={t('noSuchTopic')}
      comboboxProps={{ withinPortal: true }}
    />
  )
}
