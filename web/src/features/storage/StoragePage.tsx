import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function StoragePage() {
  const t = useT('common')
  return (
    <Page title={t('nav.storage')}>
      <Empty icon="storage" title={t('notYet')} />
    </Page>
  )
}
