import { Group, Stack, Text } from '@mantine/core'

import { useT } from '../../i18n'
import { formatNumber, Num, Plot, State } from '../../shared/ui'
import type { Seen } from './history'
import { heat, type Host, sensorName } from './host'
import { Card, CURSOR, PLOT_HEIGHT } from './Parts'

const LINES = 6

/** All sensors; drawn are the hottest. */
export function Temperatures({ host, seen }: { host: Host; seen: Seen }) {
  const t = useT('system')
  const sensors = [...host.temperatures].sort((a, b) => b.celsius - a.celsius)
  if (sensors.length === 0) {
    return (
      <Card title={t('temperatures')}>
        <State kind="unknown" label={t('noSensors')} />
        <Text size="sm" c="dimmed">
          {t('noSensorsHint')}
        </Text>
      </Card>
    )
  }
  const drawn = [...new Set(sensors.map(sensorName))].slice(0, LINES).sort()
  return (
    <Card
      title={t('temperatures')}
      value={<Num value={sensors[0]?.celsius} unit="°C" digits={1} />}
    >
      <Plot
        height={PLOT_HEIGHT}
        label={t('temperatures')}
        cursor={CURSOR}
        format={(v) => `${formatNumber(v, 1)} °C`}
        series={drawn.map((name) => ({ label: name, x: seen.x, y: seen.of(`temp.${name}`) }))}
      />
      <Stack gap={4}>
        {sensors.map((s, i) => (
          <Group key={`${sensorName(s)} ${i}`} justify="space-between" gap="xs">
            <Text size="sm" className="bp-break">
              {sensorName(s)}
            </Text>
            <Group gap="md">
              <State kind={heat(s)} label={t(`heat.${heat(s)}`)} />
              <Text size="sm" component="div">
                <Num value={s.celsius} unit="°C" digits={1} /> /{' '}
                <Num value={s.critical} unit="°C" digits={0} />
              </Text>
            </Group>
          </Group>
        ))}
      </Stack>
    </Card>
  )
}
