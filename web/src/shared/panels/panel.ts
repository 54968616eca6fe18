import { lazy, type ComponentType, type LazyExoticComponent } from 'react'

import type { PanelConfig, PanelKind } from './layout'
import type { PanelSource } from './source'

export interface PanelProps {
  readonly source: PanelSource
  readonly config: PanelConfig
  /** Changes some keys of the config; undefined where the layout is not to be changed. */
  readonly onConfig: (change: PanelConfig) => void
}

type Load = LazyExoticComponent<ComponentType<PanelProps>>

/** Every kind of panel; its code comes when one is shown. */
export const panelViews: Readonly<Record<PanelKind, Load>> = {
  plot: lazy(() => import('./plot/PlotPanel').then((m) => ({ default: m.PlotPanel }))),
  image: lazy(() => import('./image/ImagePanel').then((m) => ({ default: m.ImagePanel }))),
  scene: lazy(() => import('./scene/ScenePanel').then((m) => ({ default: m.ScenePanel }))),
  map: lazy(() => import('./map/MapPanel').then((m) => ({ default: m.MapPanel }))),
  raw: lazy(() => import('./text/RawPanel').then((m) => ({ default: m.RawPanel }))),
  log: lazy(() => import('./text/LogPanel').then((m) => ({ default: m.LogPanel }))),
  diagnostics: lazy(() =>
    import('./text/DiagnosticsPanel').then((m) => ({ default: m.DiagnosticsPanel })),
  ),
  gauge: lazy(() => import('./plot/GaugePanel').then((m) => ({ default: m.GaugePanel }))),
  states: lazy(() => import('./plot/StatesPanel').then((m) => ({ default: m.StatesPanel }))),
}
