import { useT } from '../../../i18n'
import { fieldsOf } from '../fields'
import { useLatest } from '../hooks'
import { numberOf, textOf } from '../layout'
import type { PanelProps } from '../panel'
import { PanelNote } from '../PanelNote'
import { numberAt } from '../paths'
import classes from './GaugePanel.module.css'

const R = 80
const LENGTH = Math.PI * R

/** One number between two ends. */
export function GaugePanel({ source, config }: PanelProps) {
  const t = useT('panels')
  const field = fieldsOf({ fields: [config.field] })[0]
  const message = useLatest(source, field?.topic ?? '', 10)
  if (!field) return <PanelNote title={t('noFields')} hint={t('noFieldsHint')} />
  if (!message) return <PanelNote title={t('noData')} hint={t('noDataHint')} />
  const value = numberAt(message.value, field.path)
  if (value === undefined) return <PanelNote title={message.why ?? t('noSuchField')} />
  const min = numberOf(config, 'min', 0)
  const max = numberOf(config, 'max', 1)
  const unit = textOf(config, 'unit')
  const part = max > min ? Math.min(1, Math.max(0, (value - min) / (max - min))) : 0
  const out = value < min || value > max
  return (
    <div className={classes.gauge}>
      <svg viewBox="0 0 200 128" role="img" aria-label={`${field.path}: ${text(value)} ${unit}`}>
        <path className={classes.track} d="M20 100 A80 80 0 0 1 180 100" />
        <path
          className={classes.bar}
          d="M20 100 A80 80 0 0 1 180 100"
          strokeDasharray={`${part * LENGTH} ${LENGTH}`}
        />
        <text x="100" y="92" className={classes.value}>
          {text(value)}
        </text>
        <text x="100" y="114" className={classes.unit}>
          {out ? `⚠ ${t('outOfRange')}` : unit}
        </text>
        <text x="20" y="122" className={classes.end}>
          {text(min)}
        </text>
        <text x="180" y="122" className={classes.end}>
          {text(max)}
        </text>
      </svg>
    </div>
  )
}

function text(v: number): string {
  return Number.isInteger(v) ? String(v) : v.toPrecision(4)
}
