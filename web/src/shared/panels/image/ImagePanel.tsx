import { useEffect, useRef, useState } from 'react'

import { useT } from '../../../i18n'
import { useSize } from '../hooks'
import { numberOf, textOf } from '../layout'
import type { PanelProps } from '../panel'
import { PanelNote } from '../PanelNote'
import type { FrameEvent, PanelSource } from '../source'
import classes from './ImagePanel.module.css'
import { Screen } from './screen'

const STEPS = [320, 640, 960, 1280, 1920]

/** Pixels to ask for: the next step above what the panel has room for. */
export function widthFor(css: number, ratio: number): number {
  const need = css * Math.min(2, ratio)
  return STEPS.find((s) => s >= need) ?? 1920
}

interface Shown {
  why?: string
  drawn: boolean
  text: string
}

/** Pictures of a camera; decoded and drawn in a worker. */
export function ImagePanel({ source, config }: PanelProps) {
  const t = useT('panels')
  const topic = textOf(config, 'topic')
  const [box, size] = useSize<HTMLDivElement>()
  const asked = numberOf(config, 'width', 0)
  const width = asked > 0 ? asked : size.width > 0 ? widthFor(size.width, devicePixelRatio) : 0
  const quality = numberOf(config, 'quality', 75)
  const maxHz = numberOf(config, 'maxHz', 30)
  const shown = usePicture(box, source, topic, { width, quality, maxHz })
  const note =
    topic === '' ? (
      <PanelNote title={t('noTopic')} hint={t('noTopicHint')} />
    ) : shown.why !== undefined ? (
      <PanelNote title={t('notShown')} hint={shown.why} />
    ) : !shown.drawn ? (
      <PanelNote title={t('noPicture')} hint={t('noDataHint')} />
    ) : null
  return (
    <div className={classes.panel}>
      <div ref={box} className={classes.screen} data-empty={note !== null || undefined} />
      {note && <div className={classes.note}>{note}</div>}
      {shown.text !== '' && <div className={classes.text}>{shown.text}</div>}
    </div>
  )
}

function usePicture(
  box: React.RefObject<HTMLDivElement | null>,
  source: PanelSource,
  topic: string,
  params: { width: number; quality: number; maxHz: number },
): Shown {
  const [shown, setShown] = useState<Shown>({ drawn: false, text: '' })
  const { width, quality, maxHz } = params
  const screen = useRef<Screen | undefined>(undefined)
  useEffect(() => {
    if (!box.current) return
    const made = new Screen(box.current, topic)
    screen.current = made
    return () => made.close()
  }, [box, topic])
  useEffect(() => {
    setShown({ drawn: false, text: '' })
    if (topic === '' || width === 0) return
    const take = async (e: FrameEvent) => {
      if ('why' in e) return setShown({ why: e.why, drawn: false, text: '' })
      const f = e.frame
      const wrong = await screen.current?.draw(f)
      if (wrong !== undefined) return setShown({ why: wrong, drawn: false, text: '' })
      const text = `${f.fullWidth} × ${f.fullHeight}${f.width === f.fullWidth ? '' : ` → ${f.width} × ${f.height}`}`
      setShown((s) => (s.drawn && s.text === text ? s : { drawn: true, text }))
    }
    return source.onFrame(topic, 'image', { width, quality, maxHz }, take)
  }, [source, topic, width, quality, maxHz])
  return shown
}
