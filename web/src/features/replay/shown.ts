import type { Layout, TopicInfo } from '../../shared/panels'
import { isTransforms } from './wanted'

/** Topics that the panels of a layout look at and the recording has; with 3D the transforms too. */
export function shownTopics(layout: Layout, topics: readonly TopicInfo[]): string[] {
  const named = new Set<string>()
  const look = (value: unknown, depth: number): void => {
    if (typeof value === 'string') named.add(value)
    else if (typeof value === 'object' && value !== null && depth < 4) {
      Object.values(value).forEach((v) => look(v, depth + 1))
    }
  }
  layout.panels.forEach((p) => look(p.config, 0))
  const scene = layout.panels.some((p) => p.kind === 'scene')
  return topics
    .filter((t) => named.has(t.name) || (scene && isTransforms(t.type)))
    .map((t) => t.name)
}
