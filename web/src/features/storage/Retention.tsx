import { Alert, Group, Paper, Stack, Text } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import type { ReactNode } from 'react'

import { useT } from '../../i18n'
import { send } from '../../shared/api/client'
import { reaches, useRole } from '../../shared/api/query'
import { useSettings } from '../../shared/settings'
import { formatDuration } from '../../shared/time'
import { Bytes, ConfirmButton, formatBytes, Icon, notify, State } from '../../shared/ui'
import { Classes } from './Classes'
import { Sessions } from './Sessions'
import { hasLimits, type Storage } from './storage'

/** Rules of retention, what they would delete now, and what they may not touch. */
export function Retention({ storage }: { storage: Storage }) {
  const t = useT('storage')
  const limits = hasLimits(storage)
  const later = storage.later ?? []
  return (
    <Stack>
      <Rules storage={storage} limits={limits} />
      <Classes classes={storage.classes} />
      <Section title={t('next')} action={<Clean storage={storage} />}>
        {storage.next.length > 0 ? (
          <Sessions rows={storage.next} more={storage.would_delete.sessions} keep={true} />
        ) : (
          <State kind="ok" label={t(limits ? 'nothingDue' : 'nothingEver')} />
        )}
      </Section>
      {later.length > 0 && (
        <Section title={t('later')} hint={t('laterHint')}>
          <Sessions rows={later} keep={true} maxAge={storage} />
        </Section>
      )}
      <Section title={t('held')} hint={t('heldHint')}>
        {storage.held.length > 0 ? (
          <Sessions rows={storage.held} keep={false} />
        ) : (
          <Text size="sm">{t('noneHeld')}</Text>
        )}
      </Section>
    </Stack>
  )
}

interface SectionProps {
  title: string
  hint?: string
  action?: ReactNode
  children: ReactNode
}

function Section({ title, hint, action, children }: SectionProps) {
  return (
    <Paper withBorder p="md">
      <Stack gap="sm">
        <Group justify="space-between">
          <Text component="h2" size="md" fw={600} m={0}>
            {title}
          </Text>
          {action}
        </Group>
        {hint && (
          <Text size="sm" c="dimmed">
            {hint}
          </Text>
        )}
        {children}
      </Stack>
    </Paper>
  )
}

function Rules({ storage, limits }: { storage: Storage; limits: boolean }) {
  const t = useT('storage')
  const { bytes: by } = useSettings()
  const l = storage.limits
  const rules = [
    l.max_age_s !== null && t('rule.age', { age: formatDuration(l.max_age_s) }),
    l.max_size !== null && t('rule.size', { size: formatBytes(l.max_size, by) }),
    l.min_free !== null && t('rule.free', { size: formatBytes(l.min_free, by) }),
    l.keep_newest !== null && t('rule.newest', { count: l.keep_newest }),
    l.keep_marked && t('rule.marked'),
    t(l.delete_not_uploaded ? 'rule.deleteAll' : 'rule.uploadedOnly'),
  ].filter((text) => text !== false)
  return (
    <Section title={t('rules')} hint={t('rulesHint')}>
      {!limits && (
        <>
          <State kind="idle" label={t('noLimits')} />
          <Text size="sm">{t('noLimitsHint')}</Text>
        </>
      )}
      <Stack component="ul" gap={4} m={0} pl="lg">
        {rules.map((text) => (
          <Text component="li" size="sm" key={text}>
            {text}
          </Text>
        ))}
      </Stack>
      {storage.note && limits && (
        <Alert color="orange" icon={<Icon name="warn" />}>
          {noteKey(storage.note) ? t(noteKey(storage.note) ?? '') : storage.note}
        </Alert>
      )}
      {storage.over > 0 && (
        <Alert color="orange" icon={<Icon name="warn" />}>
          {t('over', { size: formatBytes(storage.over, by) })}
        </Alert>
      )}
      <Text size="sm" c="dimmed">
        {t('deleted', { count: storage.deleted.sessions })} <Bytes value={storage.deleted.bytes} />
      </Text>
    </Section>
  )
}

/** Notes begin with words that do not change. */
function noteKey(note: string): string | undefined {
  if (note.startsWith('this agent has no upstream')) return 'note.noUpstream'
  if (note.startsWith('the clock has stepped')) return 'note.clock'
  if (note.startsWith('deleting sessions gave no space')) return 'note.space'
  return undefined
}

function Clean({ storage }: { storage: Storage }) {
  const t = useT('storage')
  const client = useQueryClient()
  const { bytes: by } = useSettings()
  const operator = reaches(useRole(), 'operator')
  const due = storage.would_delete
  const clean = async () => {
    try {
      await send('POST', 'api/v1/storage/clean')
      notify.ok(t('cleaning'))
      await client.invalidateQueries({ queryKey: ['storage'] })
    } catch (error) {
      notify.bad(error)
    }
  }
  return (
    <Group gap="xs">
      {!operator && (
        <Text size="sm" c="dimmed">
          {t('common:why.role.operator')}
        </Text>
      )}
      <ConfirmButton
        danger
        label={t('clean')}
        text={t('cleanText', {
          count: due.sessions,
          size: formatBytes(due.bytes, by),
        })}
        disabled={!operator || due.sessions === 0}
        onConfirm={clean}
      />
    </Group>
  )
}
