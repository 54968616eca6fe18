import { cloudTypes, imageTypes } from '../../shared/panels/suggest'
import type { FrameKind, FrameParams, TopicInfo } from '../../shared/panels/source'
import type { Wish } from './reader'

/** One panel that looks at one topic. */
export interface Interest {
  readonly topic: string
  readonly as: FrameKind | 'message'
  readonly params: FrameParams
}

const TF_TYPE = 'tf2_msgs/msg/TFMessage'

/** Transforms of one topic come from many nodes, each of them in messages of its own. */
export function isTransforms(type: string): boolean {
  return type === TF_TYPE
}

/** Those that hold for all time and are said once. */
export function isStatic(topic: TopicInfo): boolean {
  return topic.type === TF_TYPE && topic.name.endsWith('tf_static')
}

export function isMedia(type: string): boolean {
  return imageTypes.includes(type) || cloudTypes.includes(type)
}

function most(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((v) => v !== undefined)
  return known.length > 0 ? Math.max(...known) : undefined
}

/** What is to be asked for so that all are served. Pictures are as large as the largest of them. */
export function wishOf(interests: Iterable<Interest>, types: ReadonlyMap<string, string>): Wish {
  const all = [...interests].filter((i) => {
    const type = types.get(i.topic)
    return type !== undefined && (i.as === 'message' ? !isMedia(type) : isMedia(type))
  })
  const of = (as: Interest['as']) => all.filter((i) => i.as === as).map((i) => i.params)
  return {
    topics: [...new Set(all.map((i) => i.topic))].sort(),
    width: most(of('image').map((p) => p.width)),
    quality: most(of('image').map((p) => p.quality)),
    maxPoints: most(of('points').map((p) => p.max)),
  }
}

/** Whether `had` already brings all of `wish`, and no smaller. */
export function covers(had: Wish, wish: Wish): boolean {
  const enough = (a: number | undefined, b: number | undefined) => (b ?? 0) <= (a ?? 0)
  return (
    wish.topics.every((t) => had.topics.includes(t)) &&
    enough(had.width, wish.width) &&
    enough(had.quality, wish.quality) &&
    enough(had.maxPoints, wish.maxPoints)
  )
}

/** Bytes that a second of the wish is about, as text and pictures on the line. */
export function bytesPerSecond(wish: Wish, topics: readonly TopicInfo[]): number {
  const width = wish.width ?? 640
  const sizes = [
    { types: imageTypes, bytes: width * width * 0.09 },
    { types: cloudTypes, bytes: (wish.maxPoints ?? 20_000) * 16 },
    { types: ['sensor_msgs/msg/LaserScan', 'nav_msgs/msg/Path'], bytes: 15_000 },
  ]
  return topics
    .filter((t) => wish.topics.includes(t.name))
    .reduce((sum, t) => {
      const bytes = sizes.find((s) => s.types.includes(t.type))?.bytes ?? 800
      return sum + bytes * (t.rateHz ?? 1)
    }, 0)
}
