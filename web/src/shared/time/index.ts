export * from './time'
export * from './zone'
