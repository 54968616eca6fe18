import { Select, Switch, Table } from '@mantine/core'
import { useState } from 'react'

import { useT } from '../../i18n'
import { Empty, Num, Rate } from '../../shared/ui'
import type { Seen } from './history'
import { type Host, isIdle, type Net, orderNets } from './host'
import { Card, RatesPlot } from './Parts'

/** Interfaces; one of them is drawn. */
export function Network({ host, seen }: { host: Host; seen: Seen }) {
  const t = useT('system')
  const [chosen, setChosen] = useState<string | null>(null)
  const [all, setAll] = useState(false)
  const nets = orderNets(host.network)
  const drawn = nets.find((n) => n.name === chosen) ?? nets[0]
  if (!drawn) {
    return (
      <Card title={t('network')}>
        <Empty icon="network" title={t('noNetwork')} />
      </Card>
    )
  }
  const shown = nets.filter((n) => all || !isIdle(n))
  return (
    <Card
      title={t('network')}
      value={
        <Select
          aria-label={t('interface')}
          size="xs"
          w={130}
          allowDeselect={false}
          value={drawn.name}
          data={nets.map((n) => n.name)}
          onChange={setChosen}
        />
      }
    >
      <RatesPlot
        seen={seen}
        label={t('netPlot', { name: drawn.name })}
        of={[
          { label: t('received'), column: `net.${drawn.name}.rx` },
          { label: t('sent'), column: `net.${drawn.name}.tx` },
        ]}
      />
      <Rows nets={shown} />
      {nets.some(isIdle) && (
        <Switch
          size="sm"
          label={t('idleToo')}
          checked={all}
          onChange={(e) => setAll(e.currentTarget.checked)}
        />
      )}
    </Card>
  )
}

function Rows({ nets }: { nets: Net[] }) {
  const t = useT('system')
  return (
    <Table.ScrollContainer minWidth={460}>
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('name')}</Table.Th>
            <Table.Th ta="right">{t('received')}</Table.Th>
            <Table.Th ta="right">{t('sent')}</Table.Th>
            <Table.Th ta="right">{t('errors')}</Table.Th>
            <Table.Th ta="right">{t('dropped')}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {nets.map((n) => (
            <Table.Tr key={n.name}>
              <Table.Td>{n.name}</Table.Td>
              <Table.Td ta="right">
                <Rate value={n.rx_rate} />
              </Table.Td>
              <Table.Td ta="right">
                <Rate value={n.tx_rate} />
              </Table.Td>
              <Table.Td ta="right">
                <Num value={n.rx_errors + n.tx_errors} />
              </Table.Td>
              <Table.Td ta="right">
                <Num value={n.rx_dropped + n.tx_dropped} />
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}
