import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function OverviewPage() {
  const t = useT('common')
  return (
    <Page title={t('nav.overview')}>
      <Empty icon="overview" title={t('notYet')} />
    </Page>
  )
}
