import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function ComparePage() {
  const t = useT('common')
  return (
    <Page title={t('nav.compare')}>
      <Empty icon="sessions" title={t('notYet')} />
    </Page>
  )
}
