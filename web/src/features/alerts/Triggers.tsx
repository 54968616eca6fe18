import { Code, Group, Paper, Stack, Switch, Text } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'

import { useT } from '../../i18n'
import { request, send } from '../../shared/api/client'
import { reaches, useRole } from '../../shared/api/query'
import {
  ConfirmButton,
  DateTime,
  Empty,
  ErrorState,
  Loading,
  notify,
  Num,
  State,
  type StateKind,
} from '../../shared/ui'

interface Instance {
  robot: string
  match: string
  condition: string
  values: Record<string, unknown>
  error?: string
}

interface Trigger {
  name: string
  when: string
  enabled: boolean
  state: string
  do: unknown[]
  fired: number
  suppressed: number
  last_fired_ns: string | null
  instances: Instance[]
}

const EVERY_MS = 2000

const kinds: Record<string, StateKind> = {
  waiting: 'unknown',
  idle: 'ok',
  pending: 'warn',
  active: 'warn',
  disabled: 'idle',
  error: 'bad',
}

/** Rules: triggers with their conditions and the values last seen. */
export function Triggers() {
  const t = useT('alerts')
  const { data, error, refetch } = useQuery({
    queryKey: ['triggers'],
    queryFn: () => request<{ triggers: Trigger[] }>('api/v1/triggers'),
    refetchInterval: EVERY_MS, // values move and are no events
  })
  if (!data && error) return <ErrorState error={error} retry={() => void refetch()} />
  if (!data) return <Loading />
  if (data.triggers.length === 0) {
    return <Empty icon="alerts" title={t('noRules')} hint={t('noRulesHint')} />
  }
  return (
    <Stack>
      {data.triggers.map((one) => (
        <TriggerCard key={one.name} trigger={one} />
      ))}
    </Stack>
  )
}

function useTriggerActions(name: string) {
  const t = useT('alerts')
  const client = useQueryClient()
  const path = `api/v1/triggers/${encodeURIComponent(name)}`
  const act = async (go: () => Promise<unknown>, done: string) => {
    try {
      await go()
      await client.invalidateQueries({ queryKey: ['triggers'] })
      notify.ok(done)
    } catch (error) {
      notify.bad(error)
    }
  }
  return {
    enable: (enabled: boolean) =>
      act(() => send('POST', path, { enabled }), t(enabled ? 'enabled' : 'disabled', { name })),
    fire: () => act(() => send('POST', `${path}/fire`, {}), t('fired', { name })),
  }
}

function TriggerCard({ trigger }: { trigger: Trigger }) {
  const t = useT('alerts')
  const operator = reaches(useRole(), 'operator')
  const { enable, fire } = useTriggerActions(trigger.name)
  return (
    <Paper withBorder p="md">
      <Stack gap="xs">
        <Group justify="space-between">
          <Group gap="md">
            <Text component="h2" size="md" fw={600} m={0} className="bp-break">
              {trigger.name}
            </Text>
            <State kind={kinds[trigger.state] ?? 'unknown'} label={t(`state.${trigger.state}`)} />
          </Group>
          <Group gap="md">
            <Switch
              label={t('on')}
              checked={trigger.enabled}
              disabled={!operator}
              onChange={(e) => void enable(e.currentTarget.checked)}
            />
            <ConfirmButton
              label={t('fire')}
              text={t('fireText', { actions: trigger.do.map(String).join(', ') })}
              disabled={!operator || !trigger.enabled}
              onConfirm={fire}
            />
          </Group>
        </Group>
        {!operator && (
          <Text size="sm" c="dimmed">
            {t('common:why.role.operator')}
          </Text>
        )}
        <Code block className="bp-break">
          {trigger.when}
        </Code>
        <Text size="sm" className="bp-break">
          {t('does', { actions: trigger.do.map(String).join(', ') })}
        </Text>
        <Group gap="lg">
          <Text size="sm">
            {t('firedTimes')} <Num value={trigger.fired} />
          </Text>
          <Text size="sm">
            {t('suppressed')} <Num value={trigger.suppressed} />
          </Text>
          <Text size="sm">
            {t('lastFired')} <DateTime ns={trigger.last_fired_ns} />
          </Text>
        </Group>
        {trigger.instances.map((i) => (
          <InstanceLine key={`${i.robot} ${i.match}`} instance={i} />
        ))}
      </Stack>
    </Paper>
  )
}

function InstanceLine({ instance }: { instance: Instance }) {
  const t = useT('alerts')
  const truth: Record<string, StateKind> = { true: 'warn', false: 'ok', unknown: 'unknown' }
  const values = Object.entries(instance.values).map(([k, v]) => `${k} = ${String(v)}`)
  return (
    <Group gap="md">
      <State
        kind={truth[instance.condition] ?? 'unknown'}
        label={t(`truth.${instance.condition}`)}
      />
      <Text size="sm" className="bp-break">
        {[instance.robot, instance.match, ...values].filter(Boolean).join(' · ')}
      </Text>
      {instance.error && (
        <Text size="sm" className="bp-break">
          {instance.error}
        </Text>
      )}
    </Group>
  )
}
