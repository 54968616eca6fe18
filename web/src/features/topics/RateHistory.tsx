import { useMemo, useSyncExternalStore } from 'react'

import { useT } from '../../i18n'
import { figures, Plot } from '../../shared/ui'
import type { TopicStore } from './store'

/** Messages a second of the last minutes, since the page was opened. */
export function RateHistory({ store, name }: { store: TopicStore; name: string }) {
  const t = useT('topics')
  const version = useSyncExternalStore(
    (l) => store.watchRow(name, l),
    () => store.version,
  )
  const series = useMemo(() => {
    void version
    return [{ label: t('column.hz'), ...store.rates(name) }]
  }, [store, name, version, t])
  return (
    <Plot
      height={150}
      label={t('ratesOf', { name: name.split(' ')[0] })}
      cursor="topic"
      zero
      series={series}
      format={figures}
    />
  )
}
