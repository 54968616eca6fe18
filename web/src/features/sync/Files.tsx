import { Select, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useMemo, useState } from 'react'

import { useT } from '../../i18n'
import { request } from '../../shared/api/client'
import {
  Bytes,
  type Column,
  Empty,
  ErrorState,
  Loading,
  Num,
  State,
  type StateKind,
  VirtualTable,
} from '../../shared/ui'

interface FileRow {
  number: number
  session_name: string
  target: string
  file: string
  state: string
  error: string | null
  bytes: number
  tries: number
}

const LIMIT = 200

const kinds: Record<string, StateKind> = {
  waiting: 'idle',
  parked: 'warn',
  failed: 'bad',
  done: 'ok',
  kept: 'idle',
}

/** Files at each target, the first of them by state. */
export function Files() {
  const t = useT('sync')
  const [state, setState] = useState('waiting')
  const { data, error, refetch } = useQuery({
    queryKey: ['sync', 'files', state],
    queryFn: () =>
      request<{ files: FileRow[]; next: number | null }>(
        `api/v1/sync/files?state=${state}&limit=${LIMIT}`,
      ),
  })
  const columns = useMemo<Column<FileRow>[]>(
    () => [
      { id: 'file', title: t('file'), width: 'minmax(240px, 2fr)', render: (f) => f.file },
      {
        id: 'state',
        title: t('stateTitle'),
        width: '130px',
        render: (f) => <State kind={kinds[f.state] ?? 'unknown'} label={t(f.state)} />,
      },
      { id: 'target', title: t('target'), width: '120px', render: (f) => f.target },
      {
        id: 'bytes',
        title: t('size'),
        width: '100px',
        align: 'right',
        render: (f) => <Bytes value={f.bytes} />,
      },
      {
        id: 'tries',
        title: t('tries'),
        width: '90px',
        align: 'right',
        render: (f) => <Num value={f.tries} />,
      },
      { id: 'error', title: t('why'), width: 'minmax(160px, 1fr)', render: (f) => f.error ?? '–' },
    ],
    [t],
  )
  return (
    <Stack gap="sm">
      <Select
        label={t('files')}
        w={220}
        value={state}
        allowDeselect={false}
        data={Object.keys(kinds).map((value) => ({ value, label: t(value) }))}
        onChange={(v) => setState(v ?? 'waiting')}
      />
      {error && <ErrorState error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading />}
      {data && data.files.length === 0 && <Empty icon="sync" title={t('noFiles')} />}
      {data && data.files.length > 0 && (
        <VirtualTable
          label={t('files')}
          columns={columns}
          rows={data.files}
          rowKey={(f) => String(f.number)}
          height={360}
        />
      )}
      {data?.next != null && <Text size="sm">{t('first', { count: LIMIT })}</Text>}
    </Stack>
  )
}
