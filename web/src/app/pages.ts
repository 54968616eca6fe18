import type { ComponentType } from 'react'

import type { Kind } from '../shared/api/client'
import type { Role } from '../shared/api/query'
import type { IconName } from '../shared/ui/icons'

export interface PageEntry {
  path: string
  /** key of the name in common.json */
  nav: string
  icon: IconName
  load: () => Promise<{ default: ComponentType }>
  where: Kind | 'both'
  /** who may look */
  role: Role
  /** not in the navigation: reached from another page */
  hidden?: boolean
}

/** All pages, in the order of the navigation. */
export const pages: PageEntry[] = [
  {
    path: '/',
    nav: 'nav.overview',
    icon: 'overview',
    load: () => import('../features/overview/OverviewPage'),
    where: 'both',
    role: 'viewer',
  },
  {
    path: '/topics',
    nav: 'nav.topics',
    icon: 'topics',
    load: () => import('../features/topics/TopicsPage'),
    where: 'both',
    role: 'viewer',
  },
  {
    path: '/live',
    nav: 'nav.live',
    icon: 'live',
    load: () => import('../features/live/LivePage'),
    where: 'both',
    role: 'viewer',
  },
  {
    path: '/replay/$id',
    nav: 'nav.replay',
    icon: 'replay',
    load: () => import('../features/replay/ReplayPage'),
    where: 'both',
    role: 'viewer',
    hidden: true,
  },
  {
    path: '/sessions',
    nav: 'nav.sessions',
    icon: 'sessions',
    load: () => import('../features/sessions/SessionsPage'),
    where: 'both',
    role: 'viewer',
  },
  {
    path: '/sessions/compare',
    nav: 'nav.compare',
    icon: 'grid',
    load: () => import('../features/sessions/ComparePage'),
    where: 'both',
    role: 'viewer',
    hidden: true,
  },
  {
    path: '/sessions/$id',
    nav: 'nav.session',
    icon: 'sessions',
    load: () => import('../features/sessions/SessionPage'),
    where: 'both',
    role: 'viewer',
    hidden: true,
  },
  {
    path: '/alerts',
    nav: 'nav.alerts',
    icon: 'alerts',
    load: () => import('../features/alerts/AlertsPage'),
    where: 'both',
    role: 'viewer',
  },
  {
    path: '/jobs',
    nav: 'nav.jobs',
    icon: 'jobs',
    load: () => import('../features/jobs/JobsPage'),
    where: 'both',
    role: 'viewer',
  },
  {
    path: '/sync',
    nav: 'nav.sync',
    icon: 'sync',
    load: () => import('../features/sync/SyncPage'),
    where: 'both',
    role: 'viewer',
  },
  {
    path: '/logs',
    nav: 'nav.logs',
    icon: 'logs',
    load: () => import('../features/logs/LogsPage'),
    where: 'both',
    role: 'viewer',
  },
  {
    path: '/storage',
    nav: 'nav.storage',
    icon: 'storage',
    load: () => import('../features/storage/StoragePage'),
    where: 'agent',
    role: 'viewer',
  },
  {
    path: '/system',
    nav: 'nav.system',
    icon: 'system',
    load: () => import('../features/system/SystemPage'),
    where: 'agent',
    role: 'viewer',
  },
  {
    path: '/settings',
    nav: 'nav.settings',
    icon: 'settings',
    load: () => import('../features/settings/SettingsPage'),
    where: 'both',
    role: 'viewer',
  },
]
