import { Progress, SimpleGrid, Stack, Text } from '@mantine/core'

import { useT } from '../../i18n'
import { useSettings } from '../../shared/settings'
import { Bytes, formatBytes, formatNumber, Num, Plot } from '../../shared/ui'
import type { Seen } from './history'
import type { Host } from './host'
import { Card, CURSOR, Line, PLOT_HEIGHT } from './Parts'

interface Props {
  host: Host
  seen: Seen
}

const percent = (v: number) => `${formatNumber(v)} %`

export function Processor({ host, seen }: Props) {
  const t = useT('system')
  const { cpu } = host
  if (host.missing.includes('cpu')) return null
  return (
    <Card title={t('cpu')} value={<Num value={cpu.busy * 100} unit="%" />}>
      <Plot
        height={PLOT_HEIGHT}
        label={t('cpuPlot')}
        cursor={CURSOR}
        zero
        format={percent}
        series={[
          {
            label: t('busy'),
            x: seen.x,
            y: seen.of('cpu'),
            min: seen.of('cpu.min'),
            max: seen.of('cpu.max'),
          },
          { label: t('iowait'), x: seen.x, y: seen.of('iowait'), dash: [6, 4] },
        ]}
      />
      <Text size="xs" c="dimmed">
        {t('band')}
      </Text>
      <Cores cores={cpu.cores} />
      <Line label={t('load')}>
        {cpu.load.map((v, i) => (
          <span key={i}>
            {i > 0 && ' · '}
            <Num value={v} digits={2} />
          </span>
        ))}
      </Line>
      <Line label={t('steal')}>
        <Num value={cpu.steal * 100} unit="%" />
      </Line>
    </Card>
  )
}

function Cores({ cores }: { cores: number[] }) {
  const t = useT('system')
  return (
    <SimpleGrid cols={cores.length > 4 ? 4 : 2} spacing="xs" verticalSpacing={4}>
      {cores.map((busy, i) => {
        const name = t('core', { number: i })
        return (
          <Stack gap={2} key={name}>
            <Text size="xs" className="bp-num">
              {name}: {percent(busy * 100)}
            </Text>
            <Progress
              value={busy * 100}
              aria-label={name}
              transitionDuration={0}
              color={busy > 0.9 ? 'orange' : 'cyan'}
            />
          </Stack>
        )
      })}
    </SimpleGrid>
  )
}

export function Memory({ host, seen }: Props) {
  const t = useT('system')
  const { bytes: by } = useSettings()
  const m = host.memory
  if (host.missing.includes('memory')) return null
  const used = m.total - m.available
  const swap = m.swap_total - m.swap_free
  return (
    <Card title={t('memory')} value={<Bytes value={used} />}>
      <Plot
        height={PLOT_HEIGHT}
        label={t('memory')}
        cursor={CURSOR}
        zero
        format={(v) => formatBytes(v, by)}
        series={[{ label: t('used'), x: seen.x, y: seen.of('memory') }]}
      />
      <Progress
        value={m.total > 0 ? (used / m.total) * 100 : 0}
        aria-label={t('used')}
        transitionDuration={0}
        color={m.available < m.total / 10 ? 'orange' : 'cyan'}
      />
      <Line label={t('available')}>
        <Bytes value={m.available} /> / <Bytes value={m.total} />
      </Line>
      <Line label={t('swap')}>
        {m.swap_total === 0 ? (
          t('none')
        ) : (
          <>
            <Bytes value={swap} /> / <Bytes value={m.swap_total} />
          </>
        )}
      </Line>
    </Card>
  )
}
