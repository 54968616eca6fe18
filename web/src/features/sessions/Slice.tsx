import {
  Button,
  Group,
  MultiSelect,
  NumberInput,
  Paper,
  RangeSlider,
  SegmentedControl,
  Stack,
  Text,
  Title,
} from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'

import { useT } from '../../i18n'
import { kind } from '../../shared/api/client'
import { formatDuration, ns } from '../../shared/time'
import { Bytes, Icon } from '../../shared/ui'
import { Fetch } from './Fetch'
import { durationOf, isRunning, type Session } from './model'
import { downloadUrl, sessionPath, topicsQuery } from './queries'
import { sliceQuery, type Format, type SliceOf } from './slices'

/** Download of the whole, or of a part by time and topics; single files are under Files. */
export function Slice({ session }: { session: Session }) {
  return (
    <Stack gap="md">
      <Whole session={session} />
      <Part session={session} />
      {kind() === 'server' && <Fetch session={session} />}
    </Stack>
  )
}

function Whole({ session }: { session: Session }) {
  const t = useT('sessions')
  const onServer = kind() === 'server'
  const path = onServer ? '/data?format=mcap' : '/download'
  const ready = !isRunning(session)
  const missing = session.segments - (session.segments_here ?? session.segments)
  return (
    <Paper withBorder p="md">
      <Stack gap="xs" align="flex-start">
        <Title order={2} size="h5">
          {t('download.whole')}
        </Title>
        <Text size="sm">
          {t(onServer ? 'download.wholeServer' : 'download.wholeAgent')}{' '}
          <Bytes value={session.bytes} />
        </Text>
        {missing > 0 && (
          <Text size="sm" fw={600}>
            {t('download.missing', { count: missing })}
          </Text>
        )}
        {ready ? (
          <Button
            component="a"
            href={downloadUrl(sessionPath(session.id, path))}
            download={`${session.name}.${onServer ? 'mcap' : 'tar'}`}
            leftSection={<Icon name="download" />}
          >
            {t('download.go')}
          </Button>
        ) : (
          <Text size="sm" c="dimmed">
            {t('download.running')}
          </Text>
        )}
      </Stack>
    </Paper>
  )
}

function Part({ session }: { session: Session }) {
  const t = useT('sessions')
  const { data } = useQuery(topicsQuery(session.id))
  const began = ns(session.started_ns)
  const seconds = Math.ceil((durationOf(session) ?? 0) * 10) / 10
  const [slice, setSlice] = useState<SliceOf>({ from: 0, to: seconds, topics: [], format: 'mcap' })
  const change = (c: Partial<SliceOf>) => setSlice((s) => ({ ...s, ...c }))
  const names = [...new Set(data?.topics.map((x) => x.topic) ?? [])].sort()
  if (began === undefined || seconds <= 0) return null
  const path = sessionPath(session.id, `/data${sliceQuery(slice, began, seconds)}`)
  const empty = slice.to <= slice.from
  return (
    <Paper withBorder p="md">
      <Stack gap="sm">
        <Title order={2} size="h5">
          {t('download.part')}
        </Title>
        <Range slice={slice} seconds={seconds} onChange={change} />
        <MultiSelect
          label={t('tab.topics')}
          placeholder={slice.topics.length === 0 ? t('download.allTopics') : ''}
          data={names}
          value={[...slice.topics]}
          onChange={(topics) => change({ topics })}
          searchable
          clearable
          maxDropdownHeight={260}
        />
        <Group align="end">
          <SegmentedControl
            aria-label={t('download.format')}
            value={slice.format}
            data={[
              { value: 'mcap', label: 'MCAP' },
              { value: 'json', label: 'JSON' },
              { value: 'csv', label: 'CSV' },
            ]}
            onChange={(format) => change({ format: format as Format })}
          />
          {empty ? (
            <Button disabled>{t('download.go')}</Button>
          ) : (
            <Button
              component="a"
              href={downloadUrl(path)}
              download={`${session.name}_part.${slice.format === 'json' ? 'jsonl' : slice.format}`}
              leftSection={<Icon name="download" />}
            >
              {t('download.go')}
            </Button>
          )}
        </Group>
      </Stack>
    </Paper>
  )
}

interface RangeProps {
  slice: SliceOf
  seconds: number
  onChange: (change: Partial<SliceOf>) => void
}

function Range({ slice, seconds, onChange }: RangeProps) {
  const t = useT('sessions')
  const number = (v: number | string, other: number) => (typeof v === 'number' ? v : other)
  return (
    <>
      <RangeSlider
        min={0}
        max={seconds}
        step={0.1}
        minRange={0.1}
        value={[slice.from, slice.to]}
        onChange={([from, to]) => onChange({ from, to })}
        label={formatDuration}
        thumbFromLabel={t('from')}
        thumbToLabel={t('to')}
      />
      <Group gap="sm">
        <NumberInput
          label={t('from')}
          suffix=" s"
          min={0}
          max={slice.to}
          decimalScale={3}
          value={slice.from}
          onChange={(v) => onChange({ from: number(v, 0) })}
          w={150}
        />
        <NumberInput
          label={t('to')}
          suffix=" s"
          min={slice.from}
          max={seconds}
          decimalScale={3}
          value={slice.to}
          onChange={(v) => onChange({ to: number(v, seconds) })}
          w={150}
        />
        <Text size="sm" c="dimmed" pt={24}>
          {t('download.length', { length: formatDuration(Math.max(0, slice.to - slice.from)) })}
        </Text>
      </Group>
    </>
  )
}
