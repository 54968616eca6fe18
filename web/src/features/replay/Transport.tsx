import { ActionIcon, Button, Group, Menu, Select, Text, Tooltip } from '@mantine/core'

import { useT } from '../../i18n'
import { formatDuration, useTimeFormat } from '../../shared/time'
import { Icon, State, type IconName } from '../../shared/ui'
import type { Action } from './keys'
import { RATES } from './player'
import { Scrubber } from './Scrubber'
import classes from './Scrubber.module.css'
import type { Mark } from './session'
import type { ReplaySource } from './source'
import { usePlayer } from './usePlayer'

interface TransportProps {
  source: ReplaySource
  marks: readonly Mark[]
  run: (action: Action) => void
}

/** What is under a replay: the line of time, and what moves it. */
export function Transport({ source, marks, run }: TransportProps) {
  const t = useT('replay')
  const loop = usePlayer(source, (v) => v.loop)
  const none = marks.length === 0
  return (
    <section className={classes.bar} aria-label={t('transport')}>
      <Scrubber source={source} marks={marks} />
      <Group gap="xs" justify="space-between" mt={4}>
        <Group gap={4} wrap="nowrap">
          <Tool
            icon="previous"
            label={t('markBefore')}
            keys="PageUp"
            off={none}
            onClick={() => run({ do: 'mark', forward: false })}
          />
          <Tool
            icon="step"
            turned
            label={t('stepBack')}
            keys=","
            onClick={() => run({ do: 'step', forward: false })}
          />
          <PlayButton source={source} run={run} />
          <Tool
            icon="step"
            label={t('stepOn')}
            keys="."
            onClick={() => run({ do: 'step', forward: true })}
          />
          <Tool
            icon="next"
            label={t('markAfter')}
            keys="PageDown"
            off={none}
            onClick={() => run({ do: 'mark', forward: true })}
          />
          <Tool
            icon="loop"
            label={t('loop')}
            keys="L"
            pressed={loop}
            onClick={() => run({ do: 'loop' })}
          />
          <Rate source={source} />
        </Group>
        <Clock source={source} />
        <Group gap="xs" className={classes.menus}>
          <Doing source={source} />
          <MarkMenu source={source} marks={marks} />
          <RangeMenu source={source} run={run} />
        </Group>
      </Group>
    </section>
  )
}

interface ToolProps {
  icon: IconName
  label: string
  keys: string
  onClick: () => void
  off?: boolean
  pressed?: boolean
  turned?: boolean
}

function Tool({ icon, label, keys, onClick, off = false, pressed, turned = false }: ToolProps) {
  return (
    <Tooltip label={`${label} (${keys})`}>
      <ActionIcon
        variant={pressed ? 'filled' : 'default'}
        size="lg"
        aria-label={label}
        aria-pressed={pressed}
        disabled={off}
        onClick={onClick}
        style={turned ? { transform: 'scaleX(-1)' } : undefined}
      >
        <Icon name={icon} />
      </ActionIcon>
    </Tooltip>
  )
}

function PlayButton({ source, run }: { source: ReplaySource; run: (action: Action) => void }) {
  const t = useT('replay')
  const playing = usePlayer(source, (v) => v.playing)
  const label = t(playing ? 'pause' : 'play')
  return (
    <Tooltip label={`${label} (${t('keys.space')})`}>
      <ActionIcon
        variant="filled"
        size="lg"
        aria-label={label}
        onClick={() => run({ do: 'toggle' })}
      >
        <Icon name={playing ? 'pause' : 'play'} />
      </ActionIcon>
    </Tooltip>
  )
}

function Rate({ source }: { source: ReplaySource }) {
  const t = useT('replay')
  const rate = usePlayer(source, (v) => v.rate)
  return (
    <Select
      aria-label={t('rate')}
      w={86}
      data={RATES.map((r) => ({ value: String(r), label: `${r}×` }))}
      value={String(rate)}
      allowDeselect={false}
      comboboxProps={{ position: 'top', withinPortal: true }}
      onChange={(v) => v !== null && source.player.setRate(Number(v))}
    />
  )
}

/** The place by the clock, and since the beginning; exact when it stands still. */
function Clock({ source }: { source: ReplaySource }) {
  const t = useT('replay')
  const format = useTimeFormat()
  const playing = usePlayer(source, (v) => v.playing)
  const time = usePlayer(source, (v) => (v.playing ? v.time - (v.time % 100_000_000n) : v.time))
  const { from, to } = source.player.grid
  return (
    <Group gap="xs" aria-live="off">
      <Text size="sm" className={`bp-num ${classes.clock}`} title={format(time, { digits: 9 })}>
        {format(time, { digits: playing ? 1 : 9 })}
      </Text>
      <Text size="sm" c="dimmed" className="bp-num">
        {t('placeOf', {
          place: `${(Number(time - from) / 1e9).toFixed(playing ? 1 : 3)} s`,
          length: formatDuration(Number(to - from) / 1e9),
        })}
      </Text>
    </Group>
  )
}

function Doing({ source }: { source: ReplaySource }) {
  const t = useT('replay')
  const state = usePlayer(source, (v) => v.state)
  const waits = state === 'wait' || state === 'init'
  return <span role="status">{waits && <State kind="idle" icon="clock" label={t('waits')} />}</span>
}

function MarkMenu({ source, marks }: { source: ReplaySource; marks: readonly Mark[] }) {
  const t = useT('replay')
  const format = useTimeFormat()
  return (
    <Menu withinPortal position="top-end">
      <Menu.Target>
        <Button
          variant="default"
          size="compact-md"
          disabled={marks.length === 0}
          leftSection={<Icon name="mark" />}
        >
          {t('marks', { n: marks.length })}
        </Button>
      </Menu.Target>
      <Menu.Dropdown mah={400} style={{ overflowY: 'auto' }}>
        {marks.map((m, i) => (
          <Menu.Item key={`${m.at} ${i}`} onClick={() => void source.player.seek(m.at)}>
            <span className="bp-num">
              {format(m.at, { date: false, digits: 3, showZone: false })}
            </span>{' '}
            {m.text}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  )
}

function RangeMenu({ source, run }: { source: ReplaySource; run: (action: Action) => void }) {
  const t = useT('replay')
  const range = usePlayer(source, (v) => v.range)
  const { from, to } = source.player.grid
  const part = range.from > from || range.to < to
  return (
    <Menu withinPortal position="top-end">
      <Menu.Target>
        <Button variant="default" size="compact-md">
          {part
            ? t('part', { length: formatDuration(Number(range.to - range.from) / 1e9) })
            : t('whole')}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item onClick={() => run({ do: 'from' })}>{t('rangeFrom')}</Menu.Item>
        <Menu.Item onClick={() => run({ do: 'to' })}>{t('rangeTo')}</Menu.Item>
        <Menu.Item disabled={!part} onClick={() => run({ do: 'all' })}>
          {t('rangeAll')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}
