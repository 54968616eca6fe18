import { Paper, Stack, Table, Text } from '@mantine/core'

import { useT } from '../../i18n'
import { Bytes, Duration, Num } from '../../shared/ui'
import type { ClassRow } from './storage'

/** Who fills the disk, and limits of each class. */
export function Classes({ classes }: { classes: ClassRow[] }) {
  const t = useT('storage')
  return (
    <Paper withBorder p="md">
      <Stack gap="sm">
        <Text component="h2" size="md" fw={600} m={0}>
          {t('byClass')}
        </Text>
        <Table.ScrollContainer minWidth={640}>
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('class')}</Table.Th>
                <Table.Th ta="right">{t('sessions')}</Table.Th>
                <Table.Th ta="right">{t('uploaded')}</Table.Th>
                <Table.Th ta="right">{t('bytes')}</Table.Th>
                <Table.Th ta="right">{t('maxAge')}</Table.Th>
                <Table.Th ta="right">{t('maxSize')}</Table.Th>
                <Table.Th ta="right">{t('keepNewest')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {classes.map((c) => (
                <Table.Tr key={c.class}>
                  <Table.Td>
                    {t(`is.${c.class}`)}
                    {c.keep && (
                      <Text size="xs" c="dimmed">
                        {t('why.class')}
                      </Text>
                    )}
                  </Table.Td>
                  <Table.Td ta="right">
                    <Num value={c.sessions} />
                  </Table.Td>
                  <Table.Td ta="right">
                    <Num value={c.uploaded} />
                  </Table.Td>
                  <Table.Td ta="right">
                    <Bytes value={c.bytes} />
                  </Table.Td>
                  <Table.Td ta="right">
                    <Duration seconds={c.max_age_s} />
                  </Table.Td>
                  <Table.Td ta="right">
                    <Bytes value={c.max_size} />
                  </Table.Td>
                  <Table.Td ta="right">
                    <Num value={c.keep_newest} />
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      </Stack>
    </Paper>
  )
}
