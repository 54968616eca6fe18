import { Alert, Button, Center, Group, Skeleton, Stack, Text, Title } from '@mantine/core'
import type { ReactNode } from 'react'

import { useT } from '../../i18n'
import { ApiError } from '../api/client'
import { Icon, type IconName } from './icons'

interface PageProps {
  title: string
  actions?: ReactNode
  children: ReactNode
}

export function Page({ title, actions, children }: PageProps) {
  return (
    <Stack gap="md" className="bp-page">
      <Group justify="space-between" align="center" gap="sm">
        <Title order={1} size="h3">
          {title}
        </Title>
        {actions && <Group gap="xs">{actions}</Group>}
      </Group>
      {children}
    </Stack>
  )
}

interface EmptyProps {
  icon?: IconName
  title: string
  hint?: string
  action?: ReactNode
}

export function Empty({ icon = 'idle', title, hint, action }: EmptyProps) {
  return (
    <Center mih={220} p="md">
      <Stack align="center" gap="xs" maw={480}>
        <Icon name={icon} size={40} color="var(--mantine-color-dimmed)" />
        <Text fw={600} ta="center">
          {title}
        </Text>
        {hint && (
          <Text c="dimmed" ta="center" size="sm">
            {hint}
          </Text>
        )}
        {action}
      </Stack>
    </Center>
  )
}

function reason(error: unknown, t: (key: string) => string): { title: string; text: string } {
  if (!(error instanceof ApiError)) {
    return { title: t('error.title'), text: error instanceof Error ? error.message : String(error) }
  }
  if (error.status === 0) return { title: t('error.offline'), text: t('error.offlineHint') }
  if (error.status === 401) return { title: t('error.signIn'), text: error.message }
  if (error.status === 403) return { title: t('error.forbidden'), text: error.message }
  if (error.status === 404) return { title: t('error.notFound'), text: error.message }
  return { title: t('error.title'), text: error.message }
}

interface ErrorStateProps {
  error: unknown
  retry?: () => void
}

export function ErrorState({ error, retry }: ErrorStateProps) {
  const t = useT('common')
  const { title, text } = reason(error, t)
  return (
    <Alert color="red" variant="light" title={title} icon={<Icon name="bad" />}>
      <Stack gap="xs" align="flex-start">
        <Text size="sm" className="bp-break">
          {text}
        </Text>
        {error instanceof ApiError && error.remedy && <Text size="sm">{error.remedy}</Text>}
        {retry && (
          <Button size="xs" variant="default" onClick={retry}>
            {t('retry')}
          </Button>
        )}
      </Stack>
    </Alert>
  )
}

export function Loading({ lines = 4 }: { lines?: number }) {
  const t = useT('common')
  return (
    <Stack gap="xs" role="status" aria-label={t('loading')}>
      {Array.from({ length: lines }, (_, i) => (
        <Skeleton key={i} height={28} radius="sm" />
      ))}
    </Stack>
  )
}

export type StateKind = 'ok' | 'warn' | 'bad' | 'idle' | 'unknown'

/** State is always an icon and a word, never a colour alone. */
export function State({ kind, label, icon }: { kind: StateKind; label: string; icon?: IconName }) {
  return (
    <span className={`bp-state bp-state-${kind}`}>
      <Icon name={icon ?? kind} size={16} />
      <span>{label}</span>
    </span>
  )
}
