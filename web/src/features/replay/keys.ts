/** What keys do in a replay; the same as in Foxglove where it has one. */
export type Action =
  | { readonly do: 'toggle' | 'loop' | 'faster' | 'slower' | 'first' | 'last' | 'help' }
  | { readonly do: 'from' | 'to' | 'all' }
  | { readonly do: 'jump'; readonly ms: number }
  | { readonly do: 'step' | 'mark'; readonly forward: boolean }

export interface Key {
  readonly key: string
  readonly shiftKey: boolean
  readonly ctrlKey: boolean
  readonly altKey: boolean
  readonly metaKey: boolean
}

const JUMP_MS = 100
const SMALL_MS = 10
const BIG_MS = 500

const plain: Readonly<Record<string, Action>> = {
  ' ': { do: 'toggle' },
  ',': { do: 'step', forward: false },
  '.': { do: 'step', forward: true },
  PageUp: { do: 'mark', forward: false },
  PageDown: { do: 'mark', forward: true },
  Home: { do: 'first' },
  End: { do: 'last' },
  '+': { do: 'faster' },
  '-': { do: 'slower' },
  l: { do: 'loop' },
  '[': { do: 'from' },
  ']': { do: 'to' },
  '\\': { do: 'all' },
  '?': { do: 'help' },
}

/** Rows of the help: keys, and the text of what they do. */
export const keyHelp = [
  { keys: 'Space', text: 'toggle' },
  { keys: '← →', text: 'jump' },
  { keys: 'Shift + ← →', text: 'jumpSmall' },
  { keys: 'Ctrl/Alt + ← →', text: 'jumpBig' },
  { keys: ', .', text: 'step' },
  { keys: 'PageUp PageDown', text: 'mark' },
  { keys: 'Home End', text: 'ends' },
  { keys: '+ -', text: 'rate' },
  { keys: 'L', text: 'loop' },
  { keys: '[ ] \\', text: 'range' },
  { keys: '?', text: 'help' },
] as const

/** What a key does; undefined: it is none of ours. */
export function actionOf(e: Key): Action | undefined {
  const sign = e.key === 'ArrowRight' ? 1 : e.key === 'ArrowLeft' ? -1 : 0
  if (sign !== 0 && !e.metaKey) {
    const ms = e.shiftKey ? SMALL_MS : e.ctrlKey || e.altKey ? BIG_MS : JUMP_MS
    return { do: 'jump', ms: sign * ms }
  }
  if (e.ctrlKey || e.metaKey) return undefined
  // On many keyboards [ ] \ are typed with AltGr, which browsers tell as Alt.
  if (e.altKey && !'[]\\'.includes(e.key)) return undefined
  const key = e.key.length === 1 ? e.key.toLowerCase() : e.key
  return Object.hasOwn(plain, key) ? plain[key] : undefined
}

/** The next rate up or down; the same at either end. */
export function nextRate(rates: readonly number[], rate: number, up: boolean): number {
  const found = up ? rates.find((r) => r > rate) : [...rates].reverse().find((r) => r < rate)
  return found ?? rate
}
