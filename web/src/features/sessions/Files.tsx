import { Anchor, Button, Group, Stack, Table, Text, Title } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'

import { useT } from '../../i18n'
import { kind } from '../../shared/api/client'
import {
  Bytes,
  type Column,
  DateTime,
  Empty,
  ErrorState,
  Icon,
  Loading,
  notify,
  Num,
  State,
  type StateKind,
  VirtualTable,
} from '../../shared/ui'
import { byName, isRunning, type Segment, type Session } from './model'
import { downloadUrl, segmentsQuery, sessionPath } from './queries'
import { Verify } from './Verify'

const REFRESH_MS = 5000

const looks: Record<NonNullable<Segment['state']>, StateKind> = {
  expected: 'warn',
  received: 'idle',
  verified: 'ok',
  damaged: 'bad',
}

/** Segments with their digests, and the other files that belong to the session. */
export function Files({ session }: { session: Session }) {
  const t = useT('sessions')
  const client = useQueryClient()
  const changing = isRunning(session) || session.status === 'receiving'
  const { data, error, refetch } = useQuery({
    ...segmentsQuery(session.id),
    refetchInterval: changing ? REFRESH_MS : false,
  })
  if (error) return <ErrorState error={error} retry={() => void refetch()} />
  if (!data) return <Loading />
  const segments = [...data.segments].sort(byName)
  const again = () => void client.invalidateQueries({ queryKey: ['session', session.id] })
  return (
    <Stack gap="md">
      {kind() === 'agent' ? (
        <Verify session={session} onDone={again} />
      ) : (
        <Text size="sm" c="dimmed">
          {t('files.verifiedHere')}
        </Text>
      )}
      {segments.length === 0 ? (
        <Empty icon="sessions" title={t('files.none')} />
      ) : (
        <Segments rows={segments} session={session} />
      )}
      {data.files.length > 0 && <Others files={data.files} session={session} />}
    </Stack>
  )
}

/** A link to a file, or its name when it cannot be had yet. */
function FileLink({ file, session }: { file: Segment; session: Session }) {
  const t = useT('sessions')
  // A file of a server without a digest has not come; other files of an agent have no such mark.
  const there = kind() === 'server' ? file.state !== 'expected' : file.complete !== false
  if (!there) return <span title={t('files.notYet')}>{file.name}</span>
  const path = sessionPath(session.id, `/segments/${encodeURIComponent(file.name)}`)
  return (
    <Anchor href={downloadUrl(path)} download={file.name} size="sm" title={file.name}>
      {file.name}
    </Anchor>
  )
}

function stateOf(s: Segment): { kind: StateKind; key: string } {
  if (s.state) return { kind: looks[s.state], key: s.state }
  return s.complete ? { kind: 'ok', key: 'complete' } : { kind: 'warn', key: 'writing' }
}

function Segments({ rows, session }: { rows: Segment[]; session: Session }) {
  const t = useT('sessions')
  const columns: Column<Segment>[] = [
    {
      id: 'name',
      title: t('files.file'),
      width: 'minmax(180px, 2fr)',
      render: (s) => <FileLink file={s} session={session} />,
    },
    {
      id: 'state',
      title: t('state'),
      width: '140px',
      render: (s) => {
        const { kind: look, key } = stateOf(s)
        return <State kind={look} label={t(`files.${key}`)} />
      },
    },
    {
      id: 'bytes',
      title: t('size'),
      width: '90px',
      align: 'right',
      render: (s) => <Bytes value={s.bytes} />,
    },
    {
      id: 'messages',
      title: t('messages'),
      width: '110px',
      align: 'right',
      render: (s) => <Num value={s.messages} />,
    },
    {
      id: 'from',
      title: t('files.from'),
      width: '236px',
      render: (s) => <DateTime ns={s.first_ns} />,
    },
    {
      id: 'sha',
      title: 'SHA-256',
      width: 'minmax(200px, 2fr)',
      render: (s) => <Digest value={s.sha256} />,
    },
  ]
  return (
    <VirtualTable<Segment>
      label={t('segments')}
      columns={columns}
      rows={rows}
      rowKey={(s) => s.name}
      height={`min(50dvh, ${rows.length * 36 + 56}px)`}
    />
  )
}

/** Copied by a press where the browser allows it; elsewhere the text can be marked. */
function Digest({ value }: { value: string | null | undefined }) {
  const t = useT('sessions')
  const [copied, setCopied] = useState(false)
  if (!value) return <>–</>
  // Only https and localhost have a clipboard.
  const clipboard = window.isSecureContext ? navigator.clipboard : undefined
  const copy = async () => {
    try {
      await clipboard?.writeText(value)
      setCopied(true)
    } catch (error) {
      notify.bad(error)
    }
  }
  return (
    <Group gap={4} wrap="nowrap">
      {clipboard && (
        <Button
          size="compact-xs"
          variant="default"
          aria-label={t('files.copy')}
          title={t('files.copy')}
          onClick={() => void copy()}
        >
          <Icon name={copied ? 'ok' : 'copy'} size={14} />
        </Button>
      )}
      <Text size="xs" ff="monospace" title={value}>
        {value}
      </Text>
    </Group>
  )
}

/** Manifest, signature and whatever else lies with the segments. */
function Others({ files, session }: { files: Segment[]; session: Session }) {
  const t = useT('sessions')
  return (
    <div>
      <Title order={2} size="h5">
        {t('files.others')}
      </Title>
      <Table verticalSpacing={4}>
        <Table.Tbody>
          {[...files].sort(byName).map((f) => (
            <Table.Tr key={f.name}>
              <Table.Td className="bp-break">
                <FileLink file={f} session={session} />
              </Table.Td>
              <Table.Td ta="right">
                <Bytes value={f.bytes} />
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  )
}
