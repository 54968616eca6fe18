import { describe, expect, it } from 'vitest'

import { History, scaled, scaleOf } from './history'
import { heat, type Host, type Net, orderNets, sampleOf, sensorName, takenMs } from './host'

const host: Host = {
  taken_ns: '1795943628604023154',
  cpu: { busy: 0.5, iowait: 0.1, steal: 0, cores: [0.2, 0.8], load: [1, 2, 3] },
  memory: { total: 100, available: 60, swap_total: 0, swap_free: 0 },
  disks: [{ name: 'vda', recordings: true, busy: 0.1, read_rate: 5, write_rate: 6 }],
  storage: { size: 10, free: 5 },
  network: [net('lo', 4)],
  temperatures: [{ chip: 'coretemp', label: 'Core_0', celsius: 60, critical: 100 }],
  power: { external: true, batteries: [] },
  clock: null,
  process: { cpu_cores: 0.1, rss: 7, threads: 3 },
  missing: [],
}

function net(name: string, bytes: number): Net {
  return {
    name,
    rx_bytes: bytes,
    tx_bytes: 0,
    rx_rate: 1,
    tx_rate: 2,
    rx_errors: 0,
    rx_dropped: 0,
    tx_errors: 0,
    tx_dropped: 0,
  }
}

describe('sampleOf', () => {
  it('has a column for each thing that is plotted', () => {
    expect(sampleOf(host)).toMatchObject({
      cpu: 50,
      'cpu.min': 20,
      'cpu.max': 80,
      memory: 40,
      'disk.vda.write': 6,
      'net.lo.tx': 2,
      'temp.coretemp Core 0': 60,
    })
  })

  it('leaves out what could not be read: 0 would be a lie', () => {
    const sample = sampleOf({ ...host, missing: ['cpu', 'memory'] })
    expect(sample).not.toHaveProperty('cpu')
    expect(sample).not.toHaveProperty('memory')
  })

  it('says when', () => {
    expect(takenMs(host)).toBe(1795943628604)
    expect(takenMs({ ...host, taken_ns: null })).toBeUndefined()
  })
})

describe('heat', () => {
  const at = (celsius: number, critical: number | null) =>
    heat({ chip: 'c', label: '', celsius, critical })
  it('is judged by the limit of the sensor', () => {
    expect(at(50, 100)).toBe('ok')
    expect(at(90, 100)).toBe('warn')
    expect(at(100, 100)).toBe('bad')
    expect(at(100, null)).toBe('unknown')
    expect(sensorName({ chip: 'cpu-thermal', label: '', celsius: 1, critical: null })).toBe(
      'cpu-thermal',
    )
  })
})

it('shows interfaces in use first', () => {
  const names = orderNets([net('lo', 9), net('ifb0', 0), net('wlan0', 5), net('eth0', 3)])
  expect(names.map((n) => n.name)).toEqual(['eth0', 'wlan0', 'lo', 'ifb0'])
})

describe('History', () => {
  it('fills columns that come later and values that are missing', () => {
    const h = new History()
    h.add({ a: 1 }, 1000)
    h.add({ a: 2, b: 3 }, 2000)
    h.add({ b: 4 }, 3000)
    const seen = h.read()
    expect(seen.x).toEqual([1, 2, 3])
    expect(seen.of('a')).toEqual([1, 2, null])
    expect(seen.of('b')).toEqual([null, 3, 4])
    expect(seen.of('c')).toEqual([null, null, null])
  })

  it('takes each look once, and leaves a gap where nobody looked', () => {
    const h = new History()
    expect(h.add({ a: 1 }, 1000)).toBe(true)
    expect(h.add({ a: 1 }, 1000)).toBe(false)
    h.add({ a: 2 }, 61_000)
    expect(h.read().of('a')).toEqual([1, null, 2])
  })

  it('is bounded, and forgets what is gone', () => {
    const h = new History()
    h.add({ gone: 1 }, 0)
    for (let i = 1; i <= 400; i++) h.add({ a: i }, i * 2000)
    const seen = h.read()
    expect(seen.x).toHaveLength(300)
    expect(seen.of('a').at(-1)).toBe(400)
    expect(seen.of('gone').every((v) => v === null)).toBe(true)
  })
})

it('draws rates in a unit that fits them', () => {
  expect(scaleOf([[null, 999]], false)).toEqual({ unit: 'B/s', by: 1 })
  expect(scaleOf([[5], [2_000_000]], false)).toEqual({ unit: 'MB/s', by: 1e6 })
  expect(scaleOf([[1000]], true).unit).toBe('B/s')
  expect(scaleOf([[5e15]], false).unit).toBe('GB/s')
  expect(scaled([null, 2000], { unit: 'kB/s', by: 1000 })).toEqual([null, 2])
})
