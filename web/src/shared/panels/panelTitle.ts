import { fieldsOf } from './fields'
import { textOf, textsOf, type Panel } from './layout'

/** What a panel shows, in the names of the graph; '' when it has been told nothing yet. */
export function panelTitle(panel: Panel): string {
  const one = textOf(panel.config, 'topic')
  if (one !== '') return one
  const many = textsOf(panel.config, 'topics')
  if (many.length > 0) return many.join(', ')
  const fields = fieldsOf(panel.config)
  const single = fieldsOf({ fields: [panel.config.field] })
  return [...fields, ...single].map((f) => `${f.topic} ${f.path}`).join(', ')
}
