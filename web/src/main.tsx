import '@mantine/core/styles.css'
import '@mantine/notifications/styles.css'
import './app/app.css'

import { setNonce } from 'get-nonce'
import { createRoot } from 'react-dom/client'

import { App } from './app/App'
import { startInvalidation } from './app/invalidate'
import { startI18n } from './i18n'
import { baseUrl, loadConfig } from './shared/api/base'
import { kindIsKnown, learnKind } from './shared/api/client'
import { queryClient, whoamiQuery } from './shared/api/query'
import { startLive } from './shared/live'
import { startRecorder } from './shared/recorder'

const LEARN_AGAIN_MS = 2000

async function learn(): Promise<void> {
  while (!kindIsKnown()) {
    try {
      await learnKind()
    } catch {
      // Not there yet: the page says so until it is.
    }
    if (!kindIsKnown()) {
      document.title = 'bagpipe …'
      await new Promise((done) => setTimeout(done, LEARN_AGAIN_MS))
    }
  }
}

async function start(): Promise<void> {
  const nonce = document.querySelector<HTMLMetaElement>('meta[property=csp-nonce]')?.nonce ?? ''
  setNonce(nonce)
  await Promise.all([startI18n(), loadConfig()])
  await learn()
  await queryClient.prefetchQuery(whoamiQuery)
  startLive()
  startInvalidation()
  startRecorder()
  const root = document.getElementById('root')
  if (root) createRoot(root).render(<App nonce={nonce} />)
  if ('serviceWorker' in navigator && import.meta.env.PROD) {
    navigator.serviceWorker.register(new URL('sw.js', baseUrl())).catch(() => undefined)
  }
}

void start()
