import { Anchor, NumberInput, Select, Stack, Switch } from '@mantine/core'

import { useT } from '../../i18n'
import { baseUrl } from '../../shared/api/base'
import { setSettings, type Settings, useSettings } from '../../shared/settings'

interface ChoiceProps<K extends keyof Settings> {
  label: string
  name: K
  options: { value: Settings[K] & string; label: string }[]
}

function Choice<K extends 'scheme' | 'language' | 'zone' | 'bytes'>(props: ChoiceProps<K>) {
  const value = useSettings()[props.name]
  return (
    <Select
      label={props.label}
      data={props.options}
      value={value}
      allowDeselect={false}
      onChange={(v) => v !== null && setSettings({ [props.name]: v } as Partial<Settings>)}
    />
  )
}

/** What is kept in this browser. */
export function Appearance() {
  const t = useT('settings')
  const s = useSettings()
  return (
    <Stack maw={420}>
      <Choice
        label={t('common:theme.title')}
        name="scheme"
        options={(['auto', 'light', 'dark'] as const).map((value) => ({
          value,
          label: t(`common:theme.${value}`),
        }))}
      />
      <Switch
        label={t('common:theme.contrast')}
        checked={s.contrast}
        onChange={(e) => setSettings({ contrast: e.currentTarget.checked })}
      />
      <Switch
        label={t('shortcuts')}
        description={t('shortcutsHint')}
        checked={s.shortcuts}
        onChange={(e) => setSettings({ shortcuts: e.currentTarget.checked })}
      />
      <Choice
        label={t('common:language')}
        name="language"
        options={[
          { value: 'en', label: 'English' },
          { value: 'de', label: 'Deutsch' },
        ]}
      />
      <Choice
        label={t('common:zone.title')}
        name="zone"
        options={(['local', 'utc', 'robot'] as const).map((value) => ({
          value,
          label: t(`common:zone.${value}`),
        }))}
      />
      {s.zone === 'robot' && (
        <NumberInput
          label={t('robotOffset')}
          min={-12}
          max={14}
          step={0.25}
          suffix=" h"
          value={s.robotOffsetMin / 60}
          onChange={(v) => typeof v === 'number' && setSettings({ robotOffsetMin: v * 60 })}
        />
      )}
      <Choice
        label={t('bytes')}
        name="bytes"
        options={[
          { value: 'decimal', label: 'kB, MB, GB (1000)' },
          { value: 'binary', label: 'KiB, MiB, GiB (1024)' },
        ]}
      />
      <Anchor size="sm" href={new URL('licenses.txt', baseUrl()).href} target="_blank">
        {t('licences')}
      </Anchor>
    </Stack>
  )
}
