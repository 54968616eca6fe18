import type { Layout, TopicInfo } from '../../shared/panels'

/** Topics that the panels of a layout look at and the recording has. */
export function shownTopics(layout: Layout, topics: readonly TopicInfo[]): string[] {
  const named = new Set<string>()
  const look = (value: unknown, depth: number): void => {
    if (typeof value === 'string') named.add(value)
    else if (typeof value === 'object' && value !== null && depth < 4) {
      Object.values(value).forEach((v) => look(v, depth + 1))
    }
  }
  layout.panels.forEach((p) => look(p.config, 0))
  return topics.map((t) => t.name).filter((name) => named.has(name))
}
