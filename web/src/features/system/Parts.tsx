import { Grid, Group, Paper, Stack, Text } from '@mantine/core'
import type { ReactNode } from 'react'

import { useSettings } from '../../shared/settings'
import { figures, Plot } from '../../shared/ui'
import { scaled, scaleOf, type Seen } from './history'

interface CardProps {
  title: string
  value?: ReactNode
  wide?: boolean
  children: ReactNode
}

export function Card({ title, value, wide = false, children }: CardProps) {
  return (
    <Grid.Col span={{ base: 12, md: wide ? 12 : 6 }}>
      <Paper withBorder p="md" h="100%">
        <Stack gap="xs">
          <Group justify="space-between" gap="xs">
            <Text component="h2" size="md" fw={600} m={0}>
              {title}
            </Text>
            {value !== undefined && (
              <Text component="div" fw={600}>
                {value}
              </Text>
            )}
          </Group>
          {children}
        </Stack>
      </Paper>
    </Grid.Col>
  )
}

export function Line({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Group justify="space-between" wrap="nowrap" align="start">
      <Text size="sm" c="dimmed">
        {label}
      </Text>
      <Text size="sm" component="div" ta="right">
        {children}
      </Text>
    </Group>
  )
}

export const PLOT_HEIGHT = 180
/** Plots of this page share the cursor. */
export const CURSOR = 'system'

interface RatesProps {
  seen: Seen
  label: string
  /** names of columns, with what they are called */
  of: { column: string; label: string }[]
}

/** Rates in bytes a second over time, in one unit. */
export function RatesPlot({ seen, label, of }: RatesProps) {
  const { bytes } = useSettings()
  const columns = of.map((o) => seen.of(o.column))
  const scale = scaleOf(columns, bytes === 'binary')
  return (
    <Plot
      height={PLOT_HEIGHT}
      label={label}
      cursor={CURSOR}
      zero
      format={figures}
      series={of.map((o, i) => ({
        label: o.label,
        unit: scale.unit,
        x: seen.x,
        y: scaled(columns[i] ?? [], scale),
      }))}
    />
  )
}
