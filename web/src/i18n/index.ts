import i18next from 'i18next'
import { useCallback } from 'react'
import { initReactI18next, useTranslation } from 'react-i18next'

import { getSettings, watchSettings } from '../shared/settings'
import { resourcesFrom } from './resources'

const files = import.meta.glob<Record<string, unknown>>('./{en,de}/*.json', {
  eager: true,
  import: 'default',
})

/** Translates by the file of a feature; values are put in as text. */
export type Translate = (key: string, values?: Record<string, unknown>) => string

export async function startI18n(): Promise<void> {
  await i18next.use(initReactI18next).init({
    resources: resourcesFrom(files),
    lng: getSettings().language,
    fallbackLng: 'en',
    defaultNS: 'common',
    interpolation: { escapeValue: false }, // React escapes
    returnNull: false,
  })
  document.documentElement.lang = getSettings().language
  watchSettings(() => {
    const { language } = getSettings()
    if (i18next.language === language) return
    document.documentElement.lang = language
    void i18next.changeLanguage(language)
  })
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
