import { NumberInput, Select, Stack, Switch, TextInput } from '@mantine/core'

import { useT } from '../../i18n'
import { FieldPick, FieldsPick } from './FieldPick'
import { fieldsOf } from './fields'
import { numberOf, textOf, textsOf, type Panel, type PanelConfig } from './layout'
import type { PanelSource } from './source'
import { diagnosticTypes, fixTypes, imageTypes, logTypes, sceneTypes } from './suggest'
import { TopicSelect, TopicsSelect } from './TopicSelect'

interface Props {
  panel: Panel
  source: PanelSource
  onConfig: (change: PanelConfig) => void
}

const types: Partial<Record<Panel['kind'], readonly string[]>> = {
  image: imageTypes,
  map: fixTypes,
  log: logTypes,
  diagnostics: diagnosticTypes,
}

/** What can be told to a panel. Changes are seen at once. */
export function PanelSettings(props: Props) {
  switch (props.panel.kind) {
    case 'plot':
      return <PlotSettings {...props} />
    case 'gauge':
      return <GaugeSettings {...props} />
    case 'states':
      return <StatesSettings {...props} />
    case 'scene':
      return <SceneSettings {...props} />
    case 'image':
      return <ImageSettings {...props} />
    default:
      return <OneTopic {...props} />
  }
}

function OneTopic({ panel, source, onConfig }: Props) {
  const t = useT('panels')
  const of = types[panel.kind]
  return (
    <TopicSelect
      source={source}
      label={t('topic')}
      {...(of ? { types: of } : {})}
      value={textOf(panel.config, 'topic')}
      onChange={(topic) => onConfig({ topic })}
    />
  )
}

function ImageSettings(props: Props) {
  const t = useT('panels')
  const { panel, onConfig } = props
  const auto = t('widthAuto')
  const width = numberOf(panel.config, 'width', 0)
  return (
    <Stack gap="sm">
      <OneTopic {...props} />
      <Select
        label={t('width')}
        data={['0', '320', '640', '1280', '1920'].map((value) => ({
          value,
          label: value === '0' ? auto : `${value} px`,
        }))}
        value={String(width)}
        allowDeselect={false}
        onChange={(v) => onConfig({ width: Number(v) })}
      />
      <Num {...props} name="quality" label={t('quality')} otherwise={75} min={1} max={100} />
      <Num {...props} name="maxHz" label={t('maxHz')} otherwise={30} min={0.1} max={60} />
    </Stack>
  )
}

function PlotSettings(props: Props) {
  const t = useT('panels')
  const { panel, source, onConfig } = props
  return (
    <Stack gap="sm">
      <FieldsPick
        source={source}
        value={fieldsOf(panel.config)}
        onChange={(fields) => onConfig({ fields })}
      />
      <Num {...props} name="window" label={t('window')} otherwise={30} min={1} max={3600} />
      <Switch
        label={t('stampClock')}
        description={t('stampClockHint')}
        checked={textOf(panel.config, 'clock') === 'stamp'}
        onChange={(e) => onConfig({ clock: e.currentTarget.checked ? 'stamp' : 'recv' })}
      />
    </Stack>
  )
}

function GaugeSettings(props: Props) {
  const t = useT('panels')
  const { panel, source, onConfig } = props
  const field = fieldsOf({ fields: [panel.config.field] })[0]
  return (
    <Stack gap="sm">
      <FieldPick source={source} value={field} onChange={(f) => onConfig({ field: f })} />
      <Num {...props} name="min" label={t('min')} otherwise={0} />
      <Num {...props} name="max" label={t('max')} otherwise={1} />
      <TextInput
        label={t('unit')}
        maxLength={12}
        value={textOf(panel.config, 'unit')}
        onChange={(e) => onConfig({ unit: e.currentTarget.value })}
      />
    </Stack>
  )
}

function StatesSettings(props: Props) {
  const t = useT('panels')
  const { panel, source, onConfig } = props
  const field = fieldsOf({ fields: [panel.config.field] })[0]
  return (
    <Stack gap="sm">
      <FieldPick source={source} all value={field} onChange={(f) => onConfig({ field: f })} />
      <Num {...props} name="window" label={t('window')} otherwise={60} min={1} max={3600} />
    </Stack>
  )
}

function SceneSettings(props: Props) {
  const t = useT('panels')
  const { panel, source, onConfig } = props
  return (
    <Stack gap="sm">
      <TopicsSelect
        source={source}
        label={t('topics')}
        types={sceneTypes}
        value={textsOf(panel.config, 'topics')}
        onChange={(topics) => onConfig({ topics })}
      />
      <TextInput
        label={t('fixedFrame')}
        description={t('fixedFrameHint')}
        value={textOf(panel.config, 'frame')}
        onChange={(e) => onConfig({ frame: e.currentTarget.value.trim() })}
      />
      <TextInput
        label={t('follow')}
        description={t('followHint')}
        value={textOf(panel.config, 'follow')}
        onChange={(e) => onConfig({ follow: e.currentTarget.value.trim() })}
      />
      <Num {...props} name="points" label={t('maxPoints')} otherwise={20000} min={100} max={200000} />
    </Stack>
  )
}

interface NumProps extends Props {
  name: string
  label: string
  otherwise: number
  min?: number
  max?: number
}

function Num({ panel, onConfig, name, label, otherwise, min, max }: NumProps) {
  return (
    <NumberInput
      label={label}
      value={numberOf(panel.config, name, otherwise)}
      {...(min === undefined ? {} : { min })}
      {...(max === undefined ? {} : { max })}
      clampBehavior="blur"
      onChange={(v) => typeof v === 'number' && onConfig({ [name]: v })}
    />
  )
}
