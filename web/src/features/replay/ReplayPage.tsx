import { Text } from '@mantine/core'
import { Link, useParams } from '@tanstack/react-router'

import { useT } from '../../i18n'
import { Empty, ErrorState, Loading, Page } from '../../shared/ui'
import { Replay } from './Replay'
import { useRecording } from './session'

/** One recorded session, played. */
export default function ReplayPage() {
  const t = useT('replay')
  const { id = '' } = useParams({ strict: false }) as { id?: string }
  const { data, error, refetch } = useRecording(id)
  if (data?.span) return <Replay key={data.id} recording={data} span={data.span} />
  return (
    <Page title={data?.name ?? t('title')}>
      {error ? (
        <ErrorState error={error} retry={() => void refetch()} />
      ) : !data ? (
        <Loading lines={8} />
      ) : (
        <Empty
          icon="replay"
          title={t('nothing')}
          hint={t(data.status === 'recording' ? 'nothingYet' : 'nothingHint')}
          action={
            <Text size="sm">
              <Link to="/">{t('common:nav.overview')}</Link>
            </Text>
          }
        />
      )}
    </Page>
  )
}
