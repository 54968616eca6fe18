import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function SessionPage() {
  const t = useT('common')
  return (
    <Page title={t('nav.session')}>
      <Empty icon="sessions" title={t('notYet')} />
    </Page>
  )
}
