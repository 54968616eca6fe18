/** The German texts, in a file of their own: most people never load them. */
export const german = import.meta.glob<Record<string, unknown>>('./de/*.json', {
  eager: true,
  import: 'default',
})
