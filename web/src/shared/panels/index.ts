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
export { LayoutMenu, type LayoutStore } from './LayoutMenu'
export { LiveSource } from './liveSource'
export { PanelGrid } from './PanelGrid'
export { panelFor, suggest } from './suggest'
export { freeName, loadChosen, loadLayouts, put, saveLayouts } from './savedLayouts'
