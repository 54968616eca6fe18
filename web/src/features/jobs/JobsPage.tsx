import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function JobsPage() {
  const t = useT('common')
  return (
    <Page title={t('nav.jobs')}>
      <Empty icon="jobs" title={t('notYet')} />
    </Page>
  )
}
