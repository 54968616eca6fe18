import { durationOf, lostOf, type Session, type SessionTopic } from './model'

export type Side = 'a' | 'b'

export interface TopicPair {
  topic: string
  a: TopicSide | undefined
  b: TopicSide | undefined
  /** what is different enough to be looked at */
  differs: Set<'there' | 'type' | 'rate' | 'lost'>
}

export interface TopicSide {
  type: string
  messages: number
  /** mean over the session, in Hz */
  rate: number | undefined
  lost: number
}

/** Rates nearer to each other than this part of the larger are the same. */
const SAME_RATE = 0.1

function sidesOf(topics: readonly SessionTopic[], seconds: number | undefined) {
  const out = new Map<string, TopicSide>()
  for (const t of topics) {
    // One name may be there for several robots or domains.
    const old = out.get(t.topic)
    const messages = (old?.messages ?? 0) + t.messages
    out.set(t.topic, {
      type: old && old.type !== t.type ? `${old.type}, ${t.type}` : t.type,
      messages,
      rate: seconds && seconds > 0 ? messages / seconds : undefined,
      lost: (old?.lost ?? 0) + lostOf(t),
    })
  }
  return out
}

function differences(a: TopicSide | undefined, b: TopicSide | undefined): TopicPair['differs'] {
  const out: TopicPair['differs'] = new Set()
  if (!a || !b) return out.add('there')
  if (a.type !== b.type) out.add('type')
  if (a.lost !== b.lost) out.add('lost')
  if (a.rate !== undefined && b.rate !== undefined) {
    const larger = Math.max(a.rate, b.rate)
    // A message or two, such as latched ones, have no rate.
    const few = a.messages <= 2 && b.messages <= 2
    if (!few && larger > 0 && Math.abs(a.rate - b.rate) > SAME_RATE * larger) out.add('rate')
  }
  return out
}

/** Topics of both, by name. */
export function pairTopics(
  a: readonly SessionTopic[],
  b: readonly SessionTopic[],
  secondsA: number | undefined,
  secondsB: number | undefined,
): TopicPair[] {
  const left = sidesOf(a, secondsA)
  const right = sidesOf(b, secondsB)
  const names = [...new Set([...left.keys(), ...right.keys()])].sort((x, y) => x.localeCompare(y))
  return names.map((topic) => {
    const one = left.get(topic)
    const other = right.get(topic)
    return { topic, a: one, b: other, differs: differences(one, other) }
  })
}

/** Whether two texts, numbers or lists say the same. */
export function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** What of the two is set side by side. */
export function factsOf(s: Session) {
  return {
    state: s.status,
    mission: s.mission,
    operator: s.operator,
    tags: [...s.tags].sort(),
    robots: s.robots ? [...s.robots].sort() : undefined,
    device: s.device,
    started: s.started_ns,
    duration: durationOf(s),
    size: s.bytes,
    messages: s.messages,
    lost: s.lost,
    segments: s.segments,
    notes: s.notes,
  }
}

export type Facts = ReturnType<typeof factsOf>
