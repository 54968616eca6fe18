import { useT } from '../../i18n'
import { useSettings } from '../../shared/settings'
import { Bytes, DateTime, Duration, figures, formatBytes, Num, Plot, State } from '../../shared/ui'
import type { Seen } from './history'
import type { Host } from './host'
import { Card, CURSOR, Line } from './Parts'

const AGENT_HEIGHT = 150

/** The agent's own process. */
export function Agent({ host, seen }: { host: Host; seen: Seen }) {
  const t = useT('system')
  const { bytes: by } = useSettings()
  const p = host.process
  return (
    <Card title={t('agent')} value={<Num value={p.cpu_cores} digits={2} unit={t('cores')} />}>
      <Plot
        height={AGENT_HEIGHT}
        label={t('agentCpu')}
        cursor={CURSOR}
        zero
        format={figures}
        series={[{ label: t('cores'), x: seen.x, y: seen.of('process.cpu') }]}
      />
      <Plot
        height={AGENT_HEIGHT}
        label={t('agentMemory')}
        cursor={CURSOR}
        zero
        format={(v) => formatBytes(v, by)}
        series={[{ label: t('memory'), x: seen.x, y: seen.of('process.rss') }]}
      />
      <Line label={t('memory')}>
        <Bytes value={p.rss} />
      </Line>
      <Line label={t('threads')}>
        <Num value={p.threads} />
      </Line>
    </Card>
  )
}

export function Clock({ host }: { host: Host }) {
  const t = useT('system')
  const c = host.clock
  return (
    <Card title={t('clock')}>
      {c === null ? (
        <State kind="unknown" label={t('notTold')} />
      ) : (
        <>
          <State
            kind={c.synchronised ? 'ok' : 'warn'}
            label={t(c.synchronised ? 'synchronised' : 'notSynchronised')}
          />
          <Line label={t('offset')}>
            <Num value={c.offset_s * 1000} digits={3} unit="ms" />
          </Line>
          <Line label={t('maxError')}>
            <Duration seconds={c.max_error_s} />
          </Line>
          <Line label={t('steps')}>
            <Num value={c.steps} />
          </Line>
          {c.last_step_ns !== null && (
            <Line label={t('lastStep')}>
              <Num value={c.last_step_s} digits={3} unit="s" /> · <DateTime ns={c.last_step_ns} />
            </Line>
          )}
        </>
      )}
    </Card>
  )
}

export function Power({ host }: { host: Host }) {
  const t = useT('system')
  const { external, batteries } = host.power
  return (
    <Card title={t('power')}>
      <State
        kind={external ? 'ok' : batteries.length > 0 ? 'warn' : 'unknown'}
        label={t(external ? 'mains' : batteries.length > 0 ? 'noMains' : 'noSupply')}
      />
      {batteries.map((b) => (
        <Line key={b.name} label={b.name}>
          <Num value={b.percent} unit="%" /> · {t(b.discharging ? 'discharging' : 'notDischarging')}{' '}
          · <Num value={b.watts} unit="W" digits={1} />
        </Line>
      ))}
    </Card>
  )
}
