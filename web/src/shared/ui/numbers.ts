const decimal = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
const binary = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** `12.3 MB`; three figures that count. */
export function formatBytes(bytes: number, by: 'decimal' | 'binary' = 'decimal'): string {
  if (!Number.isFinite(bytes)) return '–'
  const step = by === 'decimal' ? 1000 : 1024
  const units = by === 'decimal' ? decimal : binary
  let value = bytes
  let i = 0
  while (Math.abs(value) >= step && i < units.length - 1) {
    value /= step
    i++
  }
  return `${i === 0 ? Math.round(value) : figures(value)} ${units[i] ?? ''}`
}

/** Three figures that count: 1.23, 12.3, 123. */
export function figures(value: number): string {
  const abs = Math.abs(value)
  return value.toFixed(abs >= 99.95 ? 0 : abs >= 9.995 ? 1 : 2)
}

/** With thin spaces between thousands, which no language reads as a decimal point. */
export function formatNumber(value: number, digits = 0): string {
  if (!Number.isFinite(value)) return '–'
  const [whole = '', rest] = value.toFixed(digits).split('.')
  const spaced = whole.replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f')
  return rest === undefined ? spaced : `${spaced}.${rest}`
}
