import type { Resource } from 'i18next'

/** `./en/topics.json` becomes resources.en.topics. */
export function resourcesFrom(files: Record<string, Record<string, unknown>>): Resource {
  const out: Resource = {}
  for (const [path, texts] of Object.entries(files)) {
    const [, language, name] = /\.\/(\w+)\/([\w-]+)\.json$/.exec(path) ?? []
    if (language && name) (out[language] ??= {})[name] = texts as Resource[string][string]
  }
  return out
}
