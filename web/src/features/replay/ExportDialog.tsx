import { Button, Group, Modal, Radio, Select, Stack, Text } from '@mantine/core'
import { useState } from 'react'

import { useT } from '../../i18n'
import type { Layout } from '../../shared/panels'
import { formatDuration, useTimeFormat } from '../../shared/time'
import { Icon } from '../../shared/ui'
import type { Range } from './player'
import { shownTopics } from './shown'
import { dataUrl, type Recording } from './session'
import type { ReplaySource } from './source'

const formats = ['mcap', 'json', 'csv'] as const

interface ExportProps {
  source: ReplaySource
  recording: Recording
  layout: Layout
  onClose: () => void
}

function seconds({ from, to }: Range): string {
  return formatDuration(Number(to - from) / 1e9)
}

/** Downloads the part that was chosen, or all; the file is cut by the other end. */
export function ExportDialog({ source, recording, layout, onClose }: ExportProps) {
  const t = useT('replay')
  const time = useTimeFormat()
  const { range } = source.player.view()
  const whole = source.player.grid
  const shown = shownTopics(layout, recording.topics)
  const [span, setSpan] = useState<'part' | 'whole'>('part')
  const [which, setWhich] = useState<'shown' | 'all'>(shown.length > 0 ? 'shown' : 'all')
  const [format, setFormat] = useState<string>('mcap')
  const { from, to } = span === 'part' ? range : whole
  const query = new URLSearchParams({ from: String(from), to: String(to), format })
  if (which === 'shown') query.set('topics', shown.join(','))
  return (
    <Modal opened onClose={onClose} title={t('export.title')}>
      <Stack>
        <Radio.Group
          label={t('export.time')}
          value={span}
          onChange={(v) => setSpan(v === 'whole' ? 'whole' : 'part')}
        >
          <Stack gap="xs" mt="xs">
            <Radio value="part" label={t('export.part', { length: seconds(range) })} />
            <Radio value="whole" label={t('export.whole', { length: seconds(whole) })} />
          </Stack>
        </Radio.Group>
        <Text size="sm" c="dimmed">
          {time(from, { digits: 3 })} – {time(to, { digits: 3, date: false })}
        </Text>
        <Radio.Group
          label={t('export.topics')}
          value={which}
          onChange={(v) => setWhich(v === 'all' ? 'all' : 'shown')}
        >
          <Stack gap="xs" mt="xs">
            <Radio
              value="shown"
              disabled={shown.length === 0}
              label={t('export.shown', { n: shown.length })}
            />
            <Radio value="all" label={t('export.all', { n: recording.topics.length })} />
          </Stack>
        </Radio.Group>
        <Select
          label={t('export.format')}
          description={t(`export.about.${format}`)}
          data={[...formats]}
          value={format}
          allowDeselect={false}
          onChange={(v) => v !== null && setFormat(v)}
        />
        <Group justify="flex-end">
          <Button
            component="a"
            href={dataUrl(recording.id, query)}
            download
            leftSection={<Icon name="download" />}
            onClick={onClose}
          >
            {t('export.go')}
          </Button>
        </Group>
      </Stack>
    </Modal>
  )
}
