import { useT } from '../../i18n'
import { Empty, Page } from '../../shared/ui'

export default function LivePage() {
  const t = useT('common')
  return (
    <Page title={t('nav.live')}>
      <Empty icon="live" title={t('notYet')} />
    </Page>
  )
}
