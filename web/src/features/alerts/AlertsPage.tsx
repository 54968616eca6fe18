import { Tabs, Text } from '@mantine/core'

import { useT } from '../../i18n'
import { kind } from '../../shared/api/client'
import { Page } from '../../shared/ui'
import { AlertList } from './AlertList'
import { useDevice } from './source'
import { Triggers } from './Triggers'

export default function AlertsPage() {
  const t = useT('alerts')
  const device = useDevice()
  const rules = kind() === 'agent' // a server has no triggers of its own
  return (
    <Page title={t('common:nav.alerts')}>
      {!rules && (
        <Text size="sm" c="dimmed">
          {device === '' ? t('ofServer') : t('ofRobot')}
        </Text>
      )}
      <Tabs defaultValue="now" keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="now">{t('now')}</Tabs.Tab>
          <Tabs.Tab value="past">{t('past')}</Tabs.Tab>
          {rules && <Tabs.Tab value="rules">{t('rules')}</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="now" pt="md">
          <AlertList state="active" />
        </Tabs.Panel>
        <Tabs.Panel value="past" pt="md">
          <AlertList state="cleared" />
        </Tabs.Panel>
        {rules && (
          <Tabs.Panel value="rules" pt="md">
            <Triggers />
          </Tabs.Panel>
        )}
      </Tabs>
    </Page>
  )
}
