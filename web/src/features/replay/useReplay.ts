import { useNavigate, useRouterState } from '@tanstack/react-router'
import { useCallback, useEffect, useRef, useState } from 'react'

import {
  freeName,
  loadChosen,
  loadLayouts,
  saveLayouts,
  suggest,
  type Layout,
  type LayoutStore,
} from '../../shared/panels'
import { layoutText, offsetText, parseLink, type ReplayLink } from './link'
import type { Range } from './player'
import { askSession, type Recording } from './session'
import { ReplaySource } from './source'

/** A recording begins before its topics have been found: there would be nothing to see. */
const OPEN_AT_NS = 1_000_000_000n
/** How soon the address says where it is, ms: browsers refuse it too often. */
const LINK_MS = 500
const LINK_PLAYING_MS = 3000

/** The link as it was when the page was opened. */
export function useLink(): ReplayLink {
  const search = useRouterState({ select: (s) => s.location.search as Record<string, unknown> })
  const [link] = useState(() => parseLink(search))
  return link
}

export function useSource(
  recording: Recording,
  span: Range,
  offset: bigint | undefined,
): ReplaySource | undefined {
  const [source, setSource] = useState<ReplaySource | undefined>()
  useEffect(() => {
    const tenth = (span.to - span.from) / 10n
    const first = offset ?? (tenth < OPEN_AT_NS ? tenth : OPEN_AT_NS)
    const made = new ReplaySource(
      recording.topics,
      span,
      askSession(recording.id),
      span.from + first,
    )
    setSource(made)
    return () => made.close()
    // Another recording comes with another key; what it was opened with stays.
  }, [])
  return source
}

/** The layout of this replay: from the link, or made from the topics. Saved ones are those of Live. */
export function useReplayLayout(
  recording: Recording,
  name: string,
  linked: Layout | undefined,
): LayoutStore & { change: (layout: Layout) => void; changed: boolean } {
  const [saved, setSaved] = useState(loadLayouts)
  const [layout, setLayout] = useState(() => linked ?? suggest(name, recording.topics))
  const [changed, setChanged] = useState(linked !== undefined)
  const change = (l: Layout) => {
    setLayout(l)
    setChanged(true)
  }
  const keep = (all: Layout[]) => {
    setSaved(all)
    saveLayouts(all, loadChosen())
  }
  return {
    layout,
    names: saved.map((l) => l.name),
    changed,
    change,
    choose: (n) => {
      const found = saved.find((l) => l.name === n)
      if (found) change(found)
    },
    add: (l) => {
      const made = { ...l, name: freeName(saved, l.name) }
      keep([...saved, made])
      change(made)
    },
    remove: (n) => keep(saved.filter((l) => l.name !== n)),
  }
}

/** Keeps time and layout in the address, so that it can be given to others. */
export function useAddress(source: ReplaySource | undefined, layout: Layout | undefined): void {
  const navigate = useNavigate()
  const newest = useRef(layout)
  const write = useCallback(() => {
    if (!source) return
    const t = offsetText(source.now() - source.player.grid.from)
    const text = newest.current && layoutText(newest.current)
    void navigate({
      to: '.',
      search: { t: Number(t), ...(text === undefined ? {} : { layout: text }) } as never,
      replace: true,
      resetScroll: false,
    })
  }, [navigate, source])
  useEffect(() => {
    if (newest.current === layout) return
    newest.current = layout
    write()
  }, [layout, write])
  useEffect(() => {
    if (!source) return
    let timer: ReturnType<typeof setTimeout> | undefined
    let written = source.now()
    const later = () => {
      if (timer !== undefined || source.now() === written) return
      timer = setTimeout(
        () => {
          timer = undefined
          written = source.now()
          write()
        },
        source.player.view().playing ? LINK_PLAYING_MS : LINK_MS,
      )
    }
    const stop = source.watch(later)
    return () => {
      stop()
      clearTimeout(timer)
    }
  }, [source, write])
}
