import { Anchor, Button, Group, NumberInput, Stack, Table, Text, TextInput } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useState, type FormEvent } from 'react'

import { useT } from '../../i18n'
import { kind, send } from '../../shared/api/client'
import { reaches, useRole } from '../../shared/api/query'
import { formatDuration, ns } from '../../shared/time'
import { DateTime, Empty, notify } from '../../shared/ui'
import { durationOf, isRunning, marksOf, type Mark, type Session } from './model'
import { sessionPath } from './queries'

export function Marks({ session }: { session: Session }) {
  const t = useT('sessions')
  const marks = marksOf(session)
  // An agent sets marks while it records, a server at any time of what it has.
  const may = reaches(useRole(), 'operator') && (kind() === 'server' || isRunning(session))
  return (
    <Stack gap="md">
      {marks.length === 0 ? (
        <Empty icon="mark" title={t('marks.none')} hint={may ? undefined : t('marks.noneHint')} />
      ) : (
        <MarkTable marks={marks} session={session} />
      )}
      {may && <AddMark session={session} />}
    </Stack>
  )
}

function MarkTable({ marks, session }: { marks: readonly Mark[]; session: Session }) {
  const t = useT('sessions')
  return (
    <Table.ScrollContainer minWidth={340}>
      <Table striped verticalSpacing={6}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('marks.time')}</Table.Th>
            <Table.Th>{t('marks.after')}</Table.Th>
            <Table.Th>{t('marks.text')}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {marks.map((m, i) => (
            <MarkLine key={i} mark={m} session={session} />
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}

function MarkLine({ mark, session }: { mark: Mark; session: Session }) {
  const t = useT('sessions')
  const at = ns(mark.time_ns)
  const began = ns(session.started_ns)
  const after =
    at === undefined || began === undefined || at < began ? undefined : Number(at - began) / 1e9
  const values = Object.entries(mark.values).map(([k, v]) => `${k}=${String(v)}`)
  return (
    <Table.Tr>
      <Table.Td>
        <DateTime ns={mark.time_ns} digits={3} />
      </Table.Td>
      <Table.Td>
        {after === undefined ? (
          '–'
        ) : (
          <Anchor
            component={Link}
            to={`/replay/${encodeURIComponent(session.id)}`}
            search={{ t: after.toFixed(3) } as never}
            size="sm"
            title={t('timeline.mark', { text: mark.text })}
          >
            {formatDuration(after)}
          </Anchor>
        )}
      </Table.Td>
      <Table.Td className="bp-break">
        {mark.text}
        {values.length > 0 && (
          <Text component="span" size="xs" c="dimmed">
            {' '}
            {values.join(' ')}
          </Text>
        )}
      </Table.Td>
    </Table.Tr>
  )
}

function AddMark({ session }: { session: Session }) {
  const t = useT('sessions')
  const client = useQueryClient()
  const [text, setText] = useState('')
  const [after, setAfter] = useState<number | string>(0)
  const [busy, setBusy] = useState(false)
  const began = ns(session.started_ns)
  const byTime = kind() === 'server' && began !== undefined
  const add = async (e: FormEvent) => {
    e.preventDefault()
    setBusy(true)
    const ms = BigInt(Math.round(Number(after) * 1000))
    const time = byTime ? { time_ns: String(began + ms * 1_000_000n) } : {}
    try {
      await send('POST', sessionPath(session.id, '/marks'), { text, ...time })
      await client.invalidateQueries({ queryKey: ['session', session.id] })
      notify.ok(t('common:done.mark'))
      setText('')
    } catch (error) {
      notify.bad(error)
    } finally {
      setBusy(false)
    }
  }
  return (
    <form onSubmit={(e) => void add(e)}>
      <Group align="end" gap="sm">
        <TextInput
          label={t('common:mark.text')}
          required
          value={text}
          onChange={(e) => setText(e.currentTarget.value)}
          flex="1 1 220px"
          maw={420}
        />
        {byTime && (
          <NumberInput
            label={t('marks.after')}
            suffix=" s"
            min={0}
            max={durationOf(session) ?? Infinity}
            decimalScale={3}
            value={after}
            onChange={setAfter}
            w={160}
          />
        )}
        <Button type="submit" variant="default" loading={busy}>
          {t('marks.add')}
        </Button>
      </Group>
    </form>
  )
}
