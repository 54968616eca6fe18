import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function SettingsPage() {
  const t = useT('common')
  return (
    <Page title={t('nav.settings')}>
      <Empty icon="settings" title={t('notYet')} />
    </Page>
  )
}
