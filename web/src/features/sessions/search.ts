import type { Zone } from '../../shared/time'

/** Facets of the server that a term of its query language finds (docs/api/archive.md). */
const keyOf: Record<string, string> = {
  robot: 'robot',
  topic: 'topic',
  type: 'type',
  tag: 'tag',
  device: 'device',
  month: 'date',
  state: 'state',
  signed: 'signed',
}

export const facetOrder = ['robot', 'tag', 'state', 'month', 'device', 'topic', 'type', 'signed']

/** The term of a query that finds what has this value. */
export function termOf(facet: string, value: string): string {
  const key = keyOf[facet] ?? facet
  const plain = /^[^\s,"*]+$/.test(value)
  return plain ? `${key}:${value}` : `${key}:"${value.replaceAll('"', '')}"`
}

/** Terms of a query; quotes keep blanks together. */
export function termsOf(q: string): string[] {
  return q.match(/(?:"[^"]*"?|[^\s"])+/g) ?? []
}

export function hasTerm(q: string, term: string): boolean {
  return termsOf(q).includes(term)
}

/** With the term added, or without it when it was there. */
export function toggleTerm(q: string, term: string): string {
  const terms = termsOf(q)
  const rest = terms.filter((x) => x !== term)
  return (rest.length < terms.length ? rest : [...terms, term]).join(' ')
}

const DAY_MS = 86_400_000

/** Nanoseconds of the begin of a day (`2026-11-29`) plus some days; '' for none. */
export function dayNs(day: string, zone: Zone, robotOffsetMin: number, plusDays = 0): string {
  const [, y, m, d] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day) ?? []
  if (y === undefined) return ''
  const utc = Date.UTC(Number(y), Number(m) - 1, Number(d)) + plusDays * DAY_MS
  const at =
    zone === 'utc'
      ? utc
      : zone === 'robot'
        ? utc - robotOffsetMin * 60_000
        : new Date(Number(y), Number(m) - 1, Number(d) + plusDays).getTime()
  return `${at}000000`
}

/** The two that are compared: choosing a third lets the first go. */
export function choose(chosen: readonly string[], id: string): string[] {
  if (chosen.includes(id)) return chosen.filter((x) => x !== id)
  return [...chosen, id].slice(-2)
}
