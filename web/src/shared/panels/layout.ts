/** Panels in a grid of COLUMNS columns: pure functions, so that Live, Replay and tests share them. */

export const COLUMNS = 12
export const MAX_PANELS = 24
const MAX_ROWS = 200

export type PanelKind =
  | 'plot'
  | 'image'
  | 'scene'
  | 'map'
  | 'raw'
  | 'log'
  | 'diagnostics'
  | 'gauge'
  | 'states'

export const panelKinds: readonly PanelKind[] = [
  'plot',
  'image',
  'scene',
  'map',
  'raw',
  'log',
  'diagnostics',
  'gauge',
  'states',
]

/** Column, row, columns wide, rows high. */
export interface Place {
  readonly x: number
  readonly y: number
  readonly w: number
  readonly h: number
}

/** What a panel was told: plain JSON, read by the panel with care. */
export type PanelConfig = Readonly<Record<string, unknown>>

export interface Panel extends Place {
  readonly id: string
  readonly kind: PanelKind
  readonly config: PanelConfig
}

export interface Layout {
  readonly version: 1
  readonly name: string
  readonly panels: readonly Panel[]
}

const sizes: Record<PanelKind, { w: number; h: number }> = {
  plot: { w: 6, h: 5 },
  image: { w: 4, h: 6 },
  scene: { w: 6, h: 8 },
  map: { w: 4, h: 6 },
  raw: { w: 4, h: 6 },
  log: { w: 8, h: 5 },
  diagnostics: { w: 4, h: 5 },
  gauge: { w: 2, h: 4 },
  states: { w: 6, h: 3 },
}

export function emptyLayout(name: string): Layout {
  return { version: 1, name, panels: [] }
}

function overlap(a: Place, b: Place): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
}

function clamp(n: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, Math.round(n)))
}

/** The place inside the grid that is nearest to what was wished. */
export function fit(p: Place): Place {
  const w = clamp(p.w, 1, COLUMNS)
  const h = clamp(p.h, 2, 40)
  return { w, h, x: clamp(p.x, 0, COLUMNS - w), y: clamp(p.y, 0, MAX_ROWS) }
}

/** Moves down what the `moved` panel stands on, then lets all rise as far as they can. */
export function settle(panels: readonly Panel[], moved?: string): Panel[] {
  const order = [...panels].sort(
    (a, b) => a.y - b.y || Number(b.id === moved) - Number(a.id === moved) || a.x - b.x,
  )
  const set: Panel[] = []
  for (const p of order) set.push({ ...p, y: lowestFree(set, p) })
  const byId = new Map(set.map((p) => [p.id, p]))
  return panels.map((p) => byId.get(p.id) ?? p)
}

function lowestFree(set: readonly Panel[], p: Panel): number {
  let y = p.y
  while (set.some((s) => overlap(s, { ...p, y }))) y++
  while (y > 0 && !set.some((s) => overlap(s, { ...p, y: y - 1 }))) y--
  return y
}

/** The layout with one panel elsewhere or of another size. */
export function place(layout: Layout, id: string, wish: Place): Layout {
  const panels = layout.panels.map((p) => (p.id === id ? { ...p, ...fit(wish) } : p))
  return { ...layout, panels: settle(panels, id) }
}

export function addPanel(layout: Layout, kind: PanelKind, config: PanelConfig = {}): Layout {
  if (layout.panels.length >= MAX_PANELS) return layout
  const size = sizes[kind]
  const spot = freeSpot(layout.panels, size)
  const panel: Panel = { id: freshId(layout.panels), kind, config, ...size, ...spot }
  return { ...layout, panels: [...layout.panels, panel] }
}

function freeSpot(panels: readonly Panel[], size: { w: number; h: number }) {
  for (let y = 0; y < MAX_ROWS; y++) {
    for (let x = 0; x + size.w <= COLUMNS; x++) {
      if (!panels.some((p) => overlap(p, { x, y, ...size }))) return { x, y }
    }
  }
  return { x: 0, y: MAX_ROWS }
}

// No crypto.randomUUID: it is missing on plain http, and an id is only of this layout.
function freshId(panels: readonly Panel[]): string {
  let n = panels.length + 1
  while (panels.some((p) => p.id === `p${n}`)) n++
  return `p${n}`
}

export function removePanel(layout: Layout, id: string): Layout {
  return { ...layout, panels: settle(layout.panels.filter((p) => p.id !== id)) }
}

export function configure(layout: Layout, id: string, change: PanelConfig): Layout {
  const panels = layout.panels.map((p) =>
    p.id === id ? { ...p, config: { ...p.config, ...change } } : p,
  )
  return { ...layout, panels }
}

/** A layout from outside (file, link, storage), or undefined when it is none. */
export function parseLayout(raw: unknown): Layout | undefined {
  if (raw === null || typeof raw !== 'object') return undefined
  const { version, name, panels } = raw as { version?: unknown; name?: unknown; panels?: unknown }
  if (version !== 1 || typeof name !== 'string' || !Array.isArray(panels)) return undefined
  const good: Panel[] = []
  for (const p of panels.slice(0, MAX_PANELS)) {
    const panel = parsePanel(p, good)
    if (panel) good.push(panel)
  }
  return { version: 1, name: name.slice(0, 80), panels: settle(good) }
}

function parsePanel(raw: unknown, before: readonly Panel[]): Panel | undefined {
  if (raw === null || typeof raw !== 'object') return undefined
  const p = raw as Record<string, unknown>
  const kind = panelKinds.find((k) => k === p.kind)
  const numbers = [p.x, p.y, p.w, p.h]
  if (!kind || !numbers.every((n) => typeof n === 'number' && Number.isFinite(n))) return undefined
  const wished = typeof p.id === 'string' && /^\w{1,32}$/.test(p.id) ? p.id : ''
  const id = wished === '' || before.some((b) => b.id === wished) ? freshId(before) : wished
  const config = p.config !== null && typeof p.config === 'object' && !Array.isArray(p.config)
  return {
    id,
    kind,
    config: config ? (p.config as PanelConfig) : {},
    ...fit({ x: p.x as number, y: p.y as number, w: p.w as number, h: p.h as number }),
  }
}

/** A text of a config; '' when it is none. */
export function textOf(config: PanelConfig, key: string): string {
  const v = config[key]
  return typeof v === 'string' ? v : ''
}

export function numberOf(config: PanelConfig, key: string, otherwise: number): number {
  const v = config[key]
  return typeof v === 'number' && Number.isFinite(v) ? v : otherwise
}

export function textsOf(config: PanelConfig, key: string): string[] {
  const v = config[key]
  return Array.isArray(v) ? v.filter((t): t is string => typeof t === 'string') : []
}
