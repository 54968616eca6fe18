import { Stack, Text } from '@mantine/core'
import type { ReactNode } from 'react'

/** What a panel says instead of showing something: why, and what helps. */
export function PanelNote({
  title,
  hint,
  children,
}: {
  title: string
  hint?: string
  children?: ReactNode
}) {
  return (
    <Stack h="100%" align="center" justify="center" gap={4} p="sm">
      <Text size="sm" fw={600} ta="center">
        {title}
      </Text>
      {hint !== undefined && (
        <Text size="sm" c="dimmed" ta="center">
          {hint}
        </Text>
      )}
      {children}
    </Stack>
  )
}
