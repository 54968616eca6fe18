import { Button, Drawer, Group, Stack, Text, TextInput, Title } from '@mantine/core'
import { useState } from 'react'

import { useT } from '../../i18n'
import { Num } from '../../shared/ui'
import type { RobotTopic } from './session'

interface TopicsDrawerProps {
  opened: boolean
  onClose: () => void
  topics: readonly RobotTopic[]
  onShow: (topics: readonly RobotTopic[]) => void
  /** makes a view of these */
  onRobot: (topics: readonly RobotTopic[]) => void
}

/** A page of a thousand rows would be slow; searching narrows it down. */
const SHOWN = 300

/** Topics by robot, in the order of their names. */
export function byRobot(topics: readonly RobotTopic[]): [string, RobotTopic[]][] {
  const groups = new Map<string, RobotTopic[]>()
  for (const t of topics) groups.set(t.robot, [...(groups.get(t.robot) ?? []), t])
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1))
}

/** All topics of the recording by robot; a click shows one. */
export function TopicsDrawer({ opened, onClose, topics, onShow, onRobot }: TopicsDrawerProps) {
  const t = useT('replay')
  const [find, setFind] = useState('')
  const needle = find.trim().toLowerCase()
  const found = topics.filter((x) => `${x.name} ${x.type}`.toLowerCase().includes(needle))
  return (
    <Drawer opened={opened} onClose={onClose} position="right" title={t('topicsTitle')}>
      <Stack>
        <TextInput
          label={t('find')}
          value={find}
          onChange={(e) => setFind(e.currentTarget.value)}
        />
        {found.length === 0 && <Text c="dimmed">{t('noneFound')}</Text>}
        {byRobot(found.slice(0, SHOWN)).map(([robot, mine]) => (
          <section key={robot} aria-label={robot}>
            <Group justify="space-between" wrap="nowrap" mb={4}>
              <Title order={2} size="h5">
                {robot || t('noRobot')}
              </Title>
              <Button size="compact-sm" variant="default" onClick={() => onRobot(mine)}>
                {t('viewOf')}
              </Button>
            </Group>
            <Stack gap={2}>
              {mine.map((x) => (
                <TopicRow key={x.name} topic={x} onShow={() => onShow([x])} />
              ))}
            </Stack>
          </section>
        ))}
        {found.length > SHOWN && <Text c="dimmed">{t('more', { n: found.length - SHOWN })}</Text>}
      </Stack>
    </Drawer>
  )
}

function TopicRow({ topic, onShow }: { topic: RobotTopic; onShow: () => void }) {
  const t = useT('replay')
  return (
    <Group justify="space-between" wrap="nowrap" gap="xs">
      <div style={{ minWidth: 0 }}>
        <Text size="sm" className="bp-break">
          {topic.name}
        </Text>
        <Text size="xs" c="dimmed" className="bp-break">
          {topic.type} · <Num value={topic.messages} unit={t('messages')} />
        </Text>
      </div>
      <Button
        size="compact-sm"
        variant="default"
        aria-label={t('showTopic', { topic: topic.name })}
        onClick={onShow}
      >
        {t('show')}
      </Button>
    </Group>
  )
}
