import { kind, request, send } from '../../shared/api/client'
import type { AgentSchemas } from '../../shared/api/query'
import { command } from '../../shared/recorder'
import { useSettings } from '../../shared/settings'

export type Alerts = AgentSchemas['Alerts']
export type Alert = Alerts['alerts'][number]

/** Device whose alerts are shown, at a server where a robot was chosen; '': whom we talk to. */
export function useDevice(): string {
  const { robot } = useSettings()
  return kind() === 'server' ? robot : ''
}

const deviceUrl = (device: string) => `api/v1/devices/${encodeURIComponent(device)}`

async function ofDevice(device: string, state: Alert['state']): Promise<Alerts> {
  // What is over only the device itself knows: it is asked.
  if (state === 'cleared') return (await command('alert.list', { past: '1' }, device)) as Alerts
  const told = await request<{ alerts: Alert[] | null }>(`${deviceUrl(device)}/status`)
  return { alerts: told.alerts ?? [] }
}

/** Alerts of a state; events make the answer old. */
export function alertsQuery(device: string, state: Alert['state']) {
  return {
    queryKey: ['alerts', device, state],
    queryFn: () =>
      device === '' ? request<Alerts>('api/v1/alerts?past=1') : ofDevice(device, state),
  }
}

export async function acknowledge(device: string, key: string, note: string): Promise<void> {
  const more = note === '' ? {} : { note }
  if (device === '') {
    await send('POST', `api/v1/alerts/${encodeURIComponent(key)}/acknowledge`, more)
  } else {
    await command('alert.acknowledge', { alert: key, ...more }, device)
  }
}
