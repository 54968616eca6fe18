import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function LogsPage() {
  const t = useT('common')
  return (
    <Page title={t('nav.logs')}>
      <Empty icon="logs" title={t('notYet')} />
    </Page>
  )
}
