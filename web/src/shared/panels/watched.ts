import type { PanelSource } from './source'

/** When something last came through a source, by the source's own clock. */
export interface Arrivals {
  last: bigint | undefined
}

/** The same source, noting each arrival: the frame of a panel shows from it how old it is. */
export function watched(source: PanelSource, arrivals: Arrivals): PanelSource {
  const note = () => {
    arrivals.last = source.now()
  }
  return {
    ...(source.history && { history: source.history.bind(source) }),
    topics: () => source.topics(),
    state: () => source.state(),
    now: () => source.now(),
    onChange: (cb) => source.onChange(cb),
    onReset: (cb) =>
      source.onReset(() => {
        arrivals.last = undefined
        cb()
      }),
    onMessage: (topic, cb, opts) =>
      source.onMessage(
        topic,
        (m) => {
          note()
          cb(m)
        },
        opts,
      ),
    onFrame: (topic, kind, params, cb) =>
      source.onFrame(topic, kind, params, (f) => {
        if ('frame' in f) note()
        return cb(f)
      }),
  }
}
