import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

import { licences } from './licences'

declare const process: { env: Record<string, string | undefined> }

const others = licences()
const backend = process.env.BACKEND_URL ?? 'http://127.0.0.1:9090'

// Paths are relative and the server writes <base>, so that one build works under any prefix.
export default defineConfig({
  plugins: [react(), others.app],
  base: './',
  html: { cspNonce: '__NONCE__' },
  worker: { format: 'es', plugins: others.worker },
  build: {
    target: 'es2022',
    sourcemap: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
  server: {
    port: 5173,
    // The API refuses what another origin writes; the proxy speaks for the page.
    proxy: {
      '/api': { target: backend, ws: true, changeOrigin: true, headers: { origin: backend } },
    },
  },
  test: { environment: 'node', include: ['src/**/*.test.ts', 'src/**/*.test.tsx'] },
})
