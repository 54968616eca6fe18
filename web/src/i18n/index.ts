import i18next from 'i18next'
import { useCallback } from 'react'
import { initReactI18next, useTranslation } from 'react-i18next'

import { getSettings, watchSettings } from '../shared/settings'
import { resourcesFrom } from './resources'

const english = import.meta.glob<Record<string, unknown>>('./en/*.json', {
  eager: true,
  import: 'default',
})

/** Translates by the file of a feature; values are put in as text. */
export type Translate = (key: string, values?: Record<string, unknown>) => string

/** Brings the texts of a language; those of English are there. Without them all stays English. */
async function bring(language: string): Promise<void> {
  if (language !== 'de' || i18next.hasResourceBundle('de', 'common')) return
  const { german } = await import('./german')
  for (const [feature, texts] of Object.entries(resourcesFrom(german)['de'] ?? {})) {
    i18next.addResourceBundle('de', feature, texts)
  }
}

export async function startI18n(): Promise<void> {
  await i18next.use(initReactI18next).init({
    resources: resourcesFrom(english),
    lng: 'en',
    fallbackLng: 'en',
    defaultNS: 'common',
    interpolation: { escapeValue: false }, // React escapes
    returnNull: false,
  })
  await speak(getSettings().language)
  watchSettings(() => void speak(getSettings().language))
}

async function speak(language: string): Promise<void> {
  await bring(language).catch(() => undefined)
  if (getSettings().language !== language) return // another one was chosen meanwhile
  const spoken = i18next.hasResourceBundle(language, 'common') ? language : 'en'
  if (i18next.language !== spoken) await i18next.changeLanguage(spoken)
  document.documentElement.lang = spoken
}

/** Texts of `i18n/LANGUAGE/<feature>.json`; a key `common:x` is one of common.json. */
export function useT(feature: string): Translate {
  const { t } = useTranslation([feature, 'common'])
  return useCallback((key, values) => String(t(key, values ?? {})), [t])
}

/** For what is no component. */
export function translate(key: string, values?: Record<string, unknown>): string {
  return String(i18next.t(key, values ?? {}))
}
