import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function ReplayPage() {
  const t = useT('common')
  return (
    <Page title={t('nav.replay')}>
      <Empty icon="replay" title={t('notYet')} />
    </Page>
  )
}
