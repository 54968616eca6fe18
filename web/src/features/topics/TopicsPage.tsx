import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function TopicsPage() {
  const t = useT('common')
  return (
    <Page title={t('nav.topics')}>
      <Empty icon="topics" title={t('notYet')} />
    </Page>
  )
}
