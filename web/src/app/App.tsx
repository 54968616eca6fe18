import { MantineProvider } from '@mantine/core'
import { Notifications } from '@mantine/notifications'
import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { useEffect, useState } from 'react'

import { queryClient } from '../shared/api/query'
import { useSettings } from '../shared/settings'
import { cssVariables, cssVariablesHigh, theme } from '../shared/ui/theme'
import { makeRouter } from './router'

export function App({ nonce }: { nonce: string }) {
  const { scheme, contrast } = useSettings()
  const [router] = useState(makeRouter)
  const dark = useDark()
  const now = scheme === 'auto' ? (dark ? 'dark' : 'light') : scheme
  return (
    <MantineProvider
      theme={theme}
      forceColorScheme={now}
      cssVariablesResolver={contrast ? cssVariablesHigh : cssVariables}
      getStyleNonce={() => nonce}
    >
      <QueryClientProvider client={queryClient}>
        <Notifications position="bottom-right" />
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  )
}

function useDark(): boolean {
  const [query] = useState(() => matchMedia('(prefers-color-scheme: dark)'))
  const [dark, setDark] = useState(query.matches)
  useEffect(() => {
    const listener = () => setDark(query.matches)
    query.addEventListener('change', listener)
    return () => query.removeEventListener('change', listener)
  }, [query])
  return dark
}
