import '@mantine/core/styles.css'
import '@mantine/notifications/styles.css'
import './app/app.css'

import { setNonce } from 'get-nonce'
import { createRoot, type Root } from 'react-dom/client'

import { App } from './app/App'
import { startInvalidation } from './app/invalidate'
import { startI18n, translate } from './i18n'
import { baseUrl, loadConfig } from './shared/api/base'
import { kindIsKnown, learnKind } from './shared/api/client'
import { queryClient, whoamiQuery } from './shared/api/query'
import { startLive } from './shared/live'
import { startRecorder } from './shared/recorder'

const LEARN_AGAIN_MS = 2000

async function learn(root: Root): Promise<void> {
  while (!kindIsKnown()) {
    try {
      await learnKind()
    } catch {
      // Not there yet: the page says so until it is.
    }
    if (!kindIsKnown()) {
      root.render(
        <p className="bp-boot" role="status">
          {translate('common:noAnswer')}
        </p>,
      )
      await new Promise((done) => setTimeout(done, LEARN_AGAIN_MS))
    }
  }
}

async function start(): Promise<void> {
  const nonce = document.querySelector<HTMLMetaElement>('meta[property=csp-nonce]')?.nonce ?? ''
  setNonce(nonce)
  await Promise.all([startI18n(), loadConfig()])
  const element = document.getElementById('root')
  if (!element) return
  const root = createRoot(element)
  await learn(root)
  await queryClient.prefetchQuery(whoamiQuery)
  startLive()
  startInvalidation()
  startRecorder()
  root.render(<App nonce={nonce} />)
  if ('serviceWorker' in navigator && import.meta.env.PROD) {
    navigator.serviceWorker.register(new URL('sw.js', baseUrl())).catch(() => undefined)
  }
}

void start()
