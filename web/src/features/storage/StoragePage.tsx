import { Alert, Grid, Group, Paper, Progress, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useEffect, useState, type ReactNode } from 'react'

import { useT } from '../../i18n'
import { request } from '../../shared/api/client'
import type { AgentSchemas } from '../../shared/api/query'
import { subscribe } from '../../shared/live'
import { Bytes, Duration, ErrorState, Icon, Loading, Num, Page, Rate } from '../../shared/ui'
import { Retention } from './Retention'
import { Pace, shares, type Storage, untilFull } from './storage'

const EVERY_MS = 10_000

// The page may be left and come back: what was measured stays.
const pace = new Pace()

interface Disk {
  free: number
  size: number
  perSecond: number | undefined
}

/** The disk as status events tell, once a second. */
function useDisk(): Disk | undefined {
  const [disk, setDisk] = useState<Disk>()
  useEffect(
    () =>
      subscribe('status', {
        event: (data, meta) => {
          const { storage, sessions, state } = data as AgentSchemas['Status']
          pace.add(sessions.bytes, meta.timeMs)
          const { free, size } = storage
          if (free === undefined || size === undefined) return
          const perSecond = state === 'recording' ? pace.perSecond() : undefined
          setDisk({ free, size, perSecond })
        },
      }),
    [],
  )
  return disk
}

export default function StoragePage() {
  const t = useT('storage')
  const { data, error, refetch } = useQuery({
    queryKey: ['storage'],
    queryFn: () => request<Storage>('api/v1/storage'),
    refetchInterval: EVERY_MS, // sessions grow old without an event
  })
  return (
    <Page title={t('common:nav.storage')}>
      {!data && error && <ErrorState error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading />}
      {data && (
        <>
          <DiskCard storage={data} />
          <Retention storage={data} />
        </>
      )}
    </Page>
  )
}

function DiskCard({ storage }: { storage: Storage }) {
  const t = useT('storage')
  const disk = useDisk() ?? { free: storage.free, size: storage.size, perSecond: undefined }
  const part = shares(disk.size, disk.free, storage.sessions.bytes)
  const used = Math.max(0, disk.size - disk.free)
  return (
    <Paper withBorder p="md">
      <Stack gap="sm">
        <Group justify="space-between">
          <Text component="h2" size="md" fw={600} m={0}>
            {t('disk')}
          </Text>
          <Text size="sm" c="dimmed" className="bp-mono bp-break">
            {storage.dir}
          </Text>
        </Group>
        <Progress.Root size={22} aria-label={t('disk')}>
          <Progress.Section
            value={part.recordings}
            color="cyan"
            aria-label={t('recordings')}
            withAria
          />
          <Progress.Section value={part.others} color="gray.6" aria-label={t('others')} withAria />
        </Progress.Root>
        <Grid gap="xs">
          <Fact label={t('recordings')}>
            <Bytes value={storage.sessions.bytes} /> · <Num value={part.recordings} unit="%" />
          </Fact>
          <Fact label={t('others')}>
            <Bytes value={Math.max(0, used - storage.sessions.bytes)} /> ·{' '}
            <Num value={part.others} unit="%" />
          </Fact>
          <Fact label={t('free')}>
            <Bytes value={disk.free} /> · <Num value={part.free} unit="%" />
          </Fact>
          <Fact label={t('size')}>
            <Bytes value={disk.size} />
          </Fact>
          <Fact label={t('writes')}>
            <Rate value={disk.perSecond} />
          </Fact>
          <Fact label={t('untilFull')}>
            <Duration seconds={untilFull(disk.free, disk.perSecond)} />
          </Fact>
        </Grid>
        {part.free < 5 && (
          <Alert color="orange" icon={<Icon name="warn" />}>
            {t('nearlyFull')}
          </Alert>
        )}
      </Stack>
    </Paper>
  )
}

function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Grid.Col span={{ base: 6, sm: 4, lg: 2 }}>
      <Text size="sm" c="dimmed">
        {label}
      </Text>
      <Text component="div" fw={600}>
        {children}
      </Text>
    </Grid.Col>
  )
}
