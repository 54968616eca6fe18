export * from './hooks'
export * from './live'
export type { Connection, Frame, Policy } from './protocol'
