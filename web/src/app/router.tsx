import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Link,
} from '@tanstack/react-router'

import { useT } from '../i18n'
import { basePath } from '../shared/api/base'
import { Empty, ErrorState, Loading } from '../shared/ui'
import { pages } from './pages'
import { Shell } from './Shell'

function NotFound() {
  const t = useT('common')
  return (
    <Empty
      icon="unknown"
      title={t('pageNotFound')}
      action={<Link to="/">{t('nav.overview')}</Link>}
    />
  )
}

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound })

const routes = pages.map((p) =>
  createRoute({
    getParentRoute: () => root,
    path: p.path,
    component: lazyRouteComponent(p.load),
  }),
)

export function makeRouter() {
  return createRouter({
    routeTree: root.addChildren(routes),
    basepath: basePath() || '/',
    defaultPreload: 'intent',
    defaultPendingComponent: () => <Loading />,
    defaultErrorComponent: ({ error, reset }) => <ErrorState error={error} retry={reset} />,
    scrollRestoration: true,
  })
}
