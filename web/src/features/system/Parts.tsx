import { Grid, Group, Paper, Stack, Text } from '@mantine/core'
import type { ReactNode } from 'react'

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

export const PLOT_HEIGHT = 160
/** Plots of this page share the cursor. */
export const CURSOR = 'system'
