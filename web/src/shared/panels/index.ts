export * from './source'
export {
  addPanel,
  emptyLayout,
  panelKinds,
  parseLayout,
  type Layout,
  type Panel,
  type PanelKind,
} from './layout'
export { LiveSource } from './liveSource'
export { PanelGrid } from './PanelGrid'
export { panelFor, suggest } from './suggest'
