import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function SystemPage() {
  const t = useT('common')
  return (
    <Page title={t('nav.system')}>
      <Empty icon="system" title={t('notYet')} />
    </Page>
  )
}
