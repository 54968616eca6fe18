import { useComputedColorScheme } from '@mantine/core'
import { useEffect, useRef, useState, type KeyboardEvent } from 'react'

import { useT } from '../../../i18n'
import { useMessages, useSize, useTopics } from '../hooks'
import { numberOf, textOf, textsOf } from '../layout'
import type { PanelProps } from '../panel'
import { PanelNote } from '../PanelNote'
import { cloudTypes } from '../suggest'
import { Stage } from './stage'
import { shapesOf, transformsOf } from './shapes'

const TF_TYPE = 'tf2_msgs/msg/TFMessage'

/** Clouds, scans, paths, poses and markers where they stand; drawn in a worker. */
export function ScenePanel({ source, config }: PanelProps) {
  const t = useT('panels')
  const dark = useComputedColorScheme('light') === 'dark'
  const [box, size] = useSize<HTMLDivElement>()
  const stage = useRef<Stage | undefined>(undefined)
  const [failed, setFailed] = useState('')
  const [missing, setMissing] = useState({ fixed: '', frames: '' })
  const topics = useTopics(source)
  const wished = textsOf(config, 'topics')
  const typeOf = (name: string) => topics.find((x) => x.name === name)?.type ?? ''
  const clouds = wished.filter((n) => cloudTypes.includes(typeOf(n)))
  const shapes = wished.filter((n) => !clouds.includes(n) && typeOf(n) !== '')
  const tf = topics.filter((x) => x.type === TF_TYPE).map((x) => x.name)
  const frame = textOf(config, 'frame')
  const follow = textOf(config, 'follow')
  const max = numberOf(config, 'points', 20_000)

  useEffect(() => {
    if (!box.current) return
    const made = new Stage(box.current, {
      failed: setFailed,
      frames: (fixed, frames) => setMissing({ fixed, frames: frames.join(', ') }),
    })
    stage.current = made
    return () => made.close()
  }, [box])
  useEffect(() => stage.current?.options({ frame, follow, dark }), [frame, follow, dark])
  useEffect(() => stage.current?.size(size.width, size.height), [size])
  useEffect(() => source.onReset(() => stage.current?.clear()), [source])
  useMessages(source, tf, (m) => stage.current?.transforms(transformsOf(m.value)), 30)
  useMessages(
    source,
    shapes,
    (m) => stage.current?.shapes(m.topic, shapesOf(m.type || typeOf(m.topic), m.value)),
    10,
  )
  const key = clouds.join('\n')
  useEffect(() => {
    const names = key === '' ? [] : key.split('\n')
    const stops = names.map((n) =>
      source.onFrame(n, 'points', { max }, (e) =>
        'frame' in e ? stage.current?.cloud(e.frame) : undefined,
      ),
    )
    return () => stops.forEach((stop) => stop())
  }, [source, key, max])

  const keys = (e: KeyboardEvent) => {
    if (!stage.current?.key(e.key, e.shiftKey)) return
    e.preventDefault()
    e.stopPropagation()
  }
  return (
    <div style={{ position: 'relative', width: '100%', height: '100%' }}>
      <div
        ref={box}
        style={{ width: '100%', height: '100%', overflow: 'hidden', touchAction: 'none' }}
        tabIndex={0}
        role="group"
        aria-label={t('sceneHelp')}
        onKeyDown={keys}
      />
      {failed !== '' && (
        <Over>
          <PanelNote title={t('noWebgl')} hint={t('noWebglHint', { why: failed })} />
        </Over>
      )}
      {failed === '' && wished.length === 0 && (
        <Over>
          <PanelNote title={t('noTopic')} hint={t('noTopicHint')} />
        </Over>
      )}
      {missing.frames !== '' && <Note text={t('missing', missing)} />}
    </div>
  )
}

function Over({ children }: { children: React.ReactNode }) {
  return (
    <div style={{ position: 'absolute', inset: 0, background: 'var(--mantine-color-body)' }}>
      {children}
    </div>
  )
}

function Note({ text }: { text: string }) {
  return (
    <div style={{ position: 'absolute', left: 6, bottom: 4, fontSize: 12 }}>
      <span aria-hidden="true">⚠ </span>
      {text}
    </div>
  )
}
