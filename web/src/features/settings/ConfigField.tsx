import { Badge, Button, Group, Select, Stack, TagsInput, Text, TextInput } from '@mantine/core'

import { useT } from '../../i18n'
import { fieldOf, type KeySchema, type KeyState, textOf } from './schema'

interface ConfigFieldProps {
  name: string
  state: KeyState | undefined
  schema: KeySchema | undefined
  draft: string | string[] | null | undefined
  disabled: boolean
  onChange: (value: string | string[] | null) => void
}

export function ConfigField(props: ConfigFieldProps) {
  const t = useT('settings')
  const { name, state, schema, draft, onChange } = props
  if (!state) return null
  return (
    <Stack gap={4}>
      <Group gap="xs">
        <Text fw={600} size="sm" className="bp-mono bp-break">
          {name}
        </Text>
        <Badge variant="default" tt="none">
          {t(`source.${state.source}`)}
        </Badge>
        {!state.live && (
          <Badge variant="outline" tt="none">
            {t('needsRestart')}
          </Badge>
        )}
        {state.pending !== undefined && (
          <Badge color="orange" tt="none">
            {t('pending', { value: textOf(state.pending) })}
          </Badge>
        )}
      </Group>
      <Input {...props} />
      <Text size="xs" c="dimmed">
        {schema?.description}
        {range(schema, t)}
        {schema?.['x-default'] ? ` ${t('default', { value: schema['x-default'] })}` : ''}
      </Text>
      {state.source === 'live' && draft !== null && (
        <Button
          size="compact-xs"
          variant="subtle"
          w="fit-content"
          disabled={props.disabled}
          onClick={() => onChange(null)}
        >
          {t('takeBack')}
        </Button>
      )}
    </Stack>
  )
}

function range(s: KeySchema | undefined, t: (k: string, v: Record<string, unknown>) => string) {
  if (s?.minimum === undefined && s?.maximum === undefined) return ''
  return ` ${t('range', { min: s.minimum ?? '–', max: s.maximum ?? '–' })}`
}

/** Keys that wait for a restart are set in the file: they are shown and cannot be changed here. */
function Input({ name, state, schema, draft, disabled, onChange }: ConfigFieldProps) {
  const value = draft ?? state?.value
  const common = { 'aria-label': name, disabled: disabled || state?.live !== true }
  switch (fieldOf(schema)) {
    case 'list':
      return (
        <TagsInput
          {...common}
          value={Array.isArray(value) ? value.map(String) : textOf(value) ? [textOf(value)] : []}
          onChange={onChange}
        />
      )
    case 'switch':
      return (
        <Select
          {...common}
          data={['true', 'false']}
          value={textOf(value)}
          allowDeselect={false}
          onChange={(v) => v !== null && onChange(v)}
        />
      )
    case 'choice':
      return (
        <Select
          {...common}
          data={(schema?.enum ?? []).map(String)}
          value={textOf(value)}
          allowDeselect={false}
          onChange={(v) => v !== null && onChange(v)}
        />
      )
    case 'text':
      return (
        <TextInput
          {...common}
          value={textOf(value)}
          onChange={(e) => onChange(e.currentTarget.value)}
        />
      )
  }
}
