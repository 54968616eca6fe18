export interface Span {
  from: number
  to: number
  value: string
}

const MAX_SPANS = 5000

/** Spans of time in which a value stayed as it was. Seconds; what comes must not go back. */
export class States {
  private spans: Span[] = []
  private values = new Map<string, number>()

  push(time: number, value: string): void {
    const last = this.spans.at(-1)
    if (last && time < last.to) return
    if (last) last.to = time
    if (last?.value === value) return
    this.spans.push({ from: time, to: time, value })
    if (!this.values.has(value)) this.values.set(value, this.values.size)
    if (this.spans.length > MAX_SPANS) this.spans.splice(0, MAX_SPANS / 10)
  }

  /** Puts an older piece before what there is; times ascending. */
  prepend(older: readonly { time: number; value: string }[]): void {
    const now = this.spans
    const first = now[0]
    this.spans = []
    for (const { time, value } of older) if (!first || time < first.from) this.push(time, value)
    const last = this.spans.at(-1)
    if (last && first) last.to = first.from
    // One state that both pieces have a part of.
    if (last && first && last.value === first.value) {
      last.to = first.to
      now.shift()
    }
    this.spans = [...this.spans, ...now].slice(-MAX_SPANS)
  }

  clear(): void {
    this.spans = []
  }

  /** The same value always has the same number, for its colour. */
  indexOf(value: string): number {
    return this.values.get(value) ?? 0
  }

  between(from: number, to: number): Span[] {
    return this.spans.filter((s) => s.to >= from && s.from < to)
  }
}
