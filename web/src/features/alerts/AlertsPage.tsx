import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function AlertsPage() {
  const t = useT('common')
  return (
    <Page title={t('nav.alerts')}>
      <Empty icon="alerts" title={t('notYet')} />
    </Page>
  )
}
