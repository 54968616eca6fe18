import { useT } from '../../../i18n'
import { useLatest } from '../hooks'
import { textOf } from '../layout'
import type { PanelProps } from '../panel'
import { PanelNote } from '../PanelNote'
import { MessageTree } from './MessageTree'
import classes from './text.module.css'

/** The newest message, every field. */
export function RawPanel({ source, config }: PanelProps) {
  const t = useT('panels')
  const topic = textOf(config, 'topic')
  const message = useLatest(source, topic, 5)
  if (topic === '') return <PanelNote title={t('noTopic')} hint={t('noTopicHint')} />
  if (!message) return <PanelNote title={t('noData')} hint={t('noDataHint')} />
  if (message.value === null) return <PanelNote title={t('notShown')} hint={message.why ?? ''} />
  return (
    <div className={classes.scroll} tabIndex={0} role="region" aria-label={topic}>
      <MessageTree value={message.value} labels={{ more: (n) => t('moreItems', { n }) }} />
    </div>
  )
}
