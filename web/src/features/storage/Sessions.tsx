import { Button, Table, Text } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'

import { useT } from '../../i18n'
import { send } from '../../shared/api/client'
import { reaches, useRole } from '../../shared/api/query'
import { Bytes, DateTime, notify } from '../../shared/ui'
import { goesAt, reasonKey, type SessionRow, type Storage } from './storage'

interface SessionsProps {
  rows: SessionRow[]
  /** of so many these are the first */
  more?: number
  /** offer to keep them; else to let go of those that are kept */
  keep: boolean
  /** say when each is too old by these limits, instead of why */
  maxAge?: Storage
}

/** Sessions in the order in which retention looks at them. */
export function Sessions({ rows, more, keep, maxAge }: SessionsProps) {
  const t = useT('storage')
  return (
    <>
      <Table.ScrollContainer minWidth={720}>
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t('session')}</Table.Th>
              <Table.Th>{t('class')}</Table.Th>
              <Table.Th ta="right">{t('bytes')}</Table.Th>
              <Table.Th>{t('started')}</Table.Th>
              <Table.Th>{t('uploadedAt')}</Table.Th>
              <Table.Th>{t(maxAge ? 'goesAt' : 'reason')}</Table.Th>
              <Table.Th />
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((row) => (
              <Row key={row.id} row={row} keep={keep} maxAge={maxAge} />
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {more !== undefined && more > rows.length && (
        <Text size="sm">{t('first', { count: rows.length, all: more })}</Text>
      )}
    </>
  )
}

interface RowProps {
  row: SessionRow
  keep: boolean
  maxAge: Storage | undefined
}

function Row({ row, keep, maxAge }: RowProps) {
  const t = useT('storage')
  const known = reasonKey(row.why)
  return (
    <Table.Tr>
      <Table.Td className="bp-break">{row.name}</Table.Td>
      <Table.Td>{t(`is.${row.class}`)}</Table.Td>
      <Table.Td ta="right">
        <Bytes value={row.bytes} />
      </Table.Td>
      <Table.Td>
        <DateTime ns={row.started_ns} />
      </Table.Td>
      <Table.Td>
        {row.uploaded_ns === null ? t('notYet') : <DateTime ns={row.uploaded_ns} />}
      </Table.Td>
      <Table.Td>
        {maxAge ? (
          <DateTime ns={goesAt(row, maxAge) ?? null} />
        ) : known ? (
          t(`why.${known}`)
        ) : (
          row.why
        )}
      </Table.Td>
      <Table.Td ta="right">
        {(keep || known === 'kept') && <KeepButton row={row} keep={keep} />}
      </Table.Td>
    </Table.Tr>
  )
}

function KeepButton({ row, keep }: { row: SessionRow; keep: boolean }) {
  const t = useT('storage')
  const client = useQueryClient()
  const operator = reaches(useRole(), 'operator')
  const [busy, setBusy] = useState(false)
  const go = async () => {
    setBusy(true)
    try {
      await send('POST', `api/v1/sessions/${encodeURIComponent(row.id)}/keep`, { keep })
      await client.invalidateQueries({ queryKey: ['storage'] })
      notify.ok(t(keep ? 'isKept' : 'isLetGo', { name: row.name }))
    } catch (error) {
      notify.bad(error)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Button
      size="xs"
      variant="default"
      loading={busy}
      disabled={!operator}
      title={operator ? undefined : t('common:why.role.operator')}
      aria-label={t(keep ? 'keepName' : 'letGoName', { name: row.name })}
      onClick={() => void go()}
    >
      {t(keep ? 'keep' : 'letGo')}
    </Button>
  )
}
