/** Layouts kept in this browser, by name. */
import { parseLayout, type Layout } from './layout'

const KEY = 'bagpipe.layouts'
const CHOSEN = 'bagpipe.layout'
const MAX_LAYOUTS = 50

export function loadLayouts(): Layout[] {
  try {
    const raw: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]')
    if (!Array.isArray(raw)) return []
    return raw.slice(0, MAX_LAYOUTS).flatMap((l) => parseLayout(l) ?? [])
  } catch {
    return []
  }
}

export function saveLayouts(layouts: readonly Layout[], chosen: string): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(layouts.slice(0, MAX_LAYOUTS)))
    localStorage.setItem(CHOSEN, chosen)
  } catch {
    // Storage may be forbidden: layouts then last as long as the page.
  }
}

export function loadChosen(): string {
  try {
    return localStorage.getItem(CHOSEN) ?? ''
  } catch {
    return ''
  }
}

/** The layouts with one put in under its name. */
export function put(layouts: readonly Layout[], layout: Layout): Layout[] {
  const at = layouts.findIndex((l) => l.name === layout.name)
  return at < 0 ? [...layouts, layout] : layouts.map((l, i) => (i === at ? layout : l))
}

/** `name`, or `name 2`, `name 3` … so that no other layout has it. */
export function freeName(layouts: readonly Layout[], name: string): string {
  let free = name
  for (let n = 2; layouts.some((l) => l.name === free); n++) free = `${name} ${n}`
  return free
}
