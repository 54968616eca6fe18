import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function SyncPage() {
  const t = useT('common')
  return (
    <Page title={t('nav.sync')}>
      <Empty icon="sync" title={t('notYet')} />
    </Page>
  )
}
