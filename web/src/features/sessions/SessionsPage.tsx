import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function SessionsPage() {
  const t = useT('common')
  return (
    <Page title={t('nav.sessions')}>
      <Empty icon="sessions" title={t('notYet')} />
    </Page>
  )
}
