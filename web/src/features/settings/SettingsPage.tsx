import { Tabs } from '@mantine/core'

import { useT } from '../../i18n'
import { reaches, useRole } from '../../shared/api/query'
import { Page } from '../../shared/ui'
import { Accounts } from './Accounts'
import { Appearance } from './Appearance'
import { Configuration } from './Configuration'

export default function SettingsPage() {
  const t = useT('settings')
  const admin = reaches(useRole(), 'admin')
  return (
    <Page title={t('common:nav.settings')}>
      <Tabs defaultValue="look" keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="look">{t('look')}</Tabs.Tab>
          <Tabs.Tab value="config">{t('config')}</Tabs.Tab>
          {admin && <Tabs.Tab value="accounts">{t('accounts')}</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="look" pt="md">
          <Appearance />
        </Tabs.Panel>
        <Tabs.Panel value="config" pt="md">
          <Configuration />
        </Tabs.Panel>
        {admin && (
          <Tabs.Panel value="accounts" pt="md">
            <Accounts />
          </Tabs.Panel>
        )}
      </Tabs>
    </Page>
  )
}
