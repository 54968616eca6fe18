import { nsToMs, ns as parseNs } from '../../shared/time'

/** What GET /api/v1/host answers; shares are 0 to 1, rates bytes a second. */
export interface Host {
  /** null: nobody has looked yet */
  taken_ns: string | null
  cpu: { busy: number; iowait: number; steal: number; cores: number[]; load: number[] }
  memory: { total: number; available: number; swap_total: number; swap_free: number }
  disks: Disk[]
  storage: { size: number; free: number }
  network: Net[]
  temperatures: Temperature[]
  power: { external: boolean; batteries: Battery[] }
  clock: Clock | null
  process: { cpu_cores: number; rss: number; threads: number }
  /** parts that could not be read */
  missing: string[]
}

export interface Disk {
  name: string
  recordings: boolean
  busy: number
  read_rate: number
  write_rate: number
}

export interface Net {
  name: string
  rx_bytes: number
  tx_bytes: number
  rx_rate: number
  tx_rate: number
  rx_errors: number
  rx_dropped: number
  tx_errors: number
  tx_dropped: number
}

export interface Temperature {
  chip: string
  label: string
  celsius: number
  critical: number | null
}

export interface Battery {
  name: string
  percent: number | null
  discharging: boolean
  watts: number | null
}

export interface Clock {
  synchronised: boolean
  offset_s: number
  max_error_s: number
  steps: number
  last_step_s: number
  last_step_ns: string | null
}

/** One column for each plot; names are those of `History.read()`. */
export function sampleOf(host: Host): Record<string, number> {
  const out: Record<string, number> = {
    'process.cpu': host.process.cpu_cores,
    'process.rss': host.process.rss,
  }
  if (!host.missing.includes('cpu')) {
    out['cpu'] = host.cpu.busy * 100
    out['cpu.min'] = Math.min(...host.cpu.cores) * 100
    out['cpu.max'] = Math.max(...host.cpu.cores) * 100
    out['iowait'] = host.cpu.iowait * 100
  }
  if (!host.missing.includes('memory')) {
    out['memory'] = host.memory.total - host.memory.available
  }
  for (const d of host.disks) {
    out[`disk.${d.name}.read`] = d.read_rate
    out[`disk.${d.name}.write`] = d.write_rate
  }
  for (const n of host.network) {
    out[`net.${n.name}.rx`] = n.rx_rate
    out[`net.${n.name}.tx`] = n.tx_rate
  }
  for (const t of host.temperatures) out[`temp.${sensorName(t)}`] = t.celsius
  return out
}

export function takenMs(host: Host): number | undefined {
  const value = parseNs(host.taken_ns)
  return value === undefined ? undefined : nsToMs(value)
}

export function sensorName(t: Temperature): string {
  return t.label ? `${t.chip} ${t.label.replaceAll('_', ' ')}` : t.chip
}

/** How near a sensor is to where the hardware defends itself. */
export function heat(t: Temperature): 'ok' | 'warn' | 'bad' | 'unknown' {
  if (t.critical === null) return 'unknown'
  if (t.celsius >= t.critical) return 'bad'
  return t.celsius >= t.critical - 10 ? 'warn' : 'ok'
}

/** Interfaces that have ever carried something come first, the loopback last. */
export function orderNets(nets: Net[]): Net[] {
  const rank = (n: Net) => (n.name === 'lo' ? 1 : n.rx_bytes + n.tx_bytes === 0 ? 2 : 0)
  return [...nets].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name))
}

export function isIdle(n: Net): boolean {
  return n.rx_bytes + n.tx_bytes === 0
}
