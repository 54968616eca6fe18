import { Table, Text } from '@mantine/core'

import { useT } from '../../i18n'
import { Bytes, Num, Rate } from '../../shared/ui'
import type { Seen } from './history'
import type { Host } from './host'
import { Card, Line, RatesPlot } from './Parts'

/** Disks of the machine; drawn is the one with the recordings. */
export function Disks({ host, seen }: { host: Host; seen: Seen }) {
  const t = useT('system')
  const ours = host.disks.find((d) => d.recordings) ?? host.disks[0]
  return (
    <Card title={t('disks')}>
      {ours ? (
        <>
          <RatesPlot
            seen={seen}
            label={t('diskPlot', { name: ours.name })}
            of={[
              { label: t('write'), column: `disk.${ours.name}.write` },
              { label: t('read'), column: `disk.${ours.name}.read` },
            ]}
          />
          <Rows host={host} />
        </>
      ) : (
        <Text size="sm">{t('noDisks')}</Text>
      )}
      <Line label={t('storage')}>
        <Bytes value={host.storage.free} /> / <Bytes value={host.storage.size} />
      </Line>
    </Card>
  )
}

function Rows({ host }: { host: Host }) {
  const t = useT('system')
  return (
    <Table.ScrollContainer minWidth={380}>
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('name')}</Table.Th>
            <Table.Th ta="right">{t('busy')}</Table.Th>
            <Table.Th ta="right">{t('write')}</Table.Th>
            <Table.Th ta="right">{t('read')}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {host.disks.map((d) => (
            <Table.Tr key={d.name}>
              <Table.Td>
                {d.name}
                {d.recordings && (
                  <Text size="xs" c="dimmed">
                    {t('withRecordings')}
                  </Text>
                )}
              </Table.Td>
              <Table.Td ta="right">
                <Num value={d.busy * 100} unit="%" />
              </Table.Td>
              <Table.Td ta="right">
                <Rate value={d.write_rate} />
              </Table.Td>
              <Table.Td ta="right">
                <Rate value={d.read_rate} />
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}
