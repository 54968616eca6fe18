import { useT } from '../../i18n'
import { Grid } from './Grid'
import { configure, removePanel, type Layout } from './layout'
import { PanelShell } from './PanelShell'
import type { PanelSource } from './source'

/** All panels of a layout, fed by one source. */
export function PanelGrid({
  source,
  layout,
  onChange,
}: {
  source: PanelSource
  layout: Layout
  onChange: (layout: Layout) => void
}) {
  const t = useT('panels')
  return (
    <Grid layout={layout} onChange={onChange} sizeLabel={t('resize')}>
      {(panel, handle) => (
        <PanelShell
          panel={panel}
          source={source}
          handle={handle}
          onConfig={(change) => onChange(configure(layout, panel.id, change))}
          onRemove={() => onChange(removePanel(layout, panel.id))}
        />
      )}
    </Grid>
  )
}
