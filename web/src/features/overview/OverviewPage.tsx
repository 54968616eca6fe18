import { kind } from '../../shared/api/client'
import { AgentOverview } from './AgentOverview'
import { ServerOverview } from './ServerOverview'

export default function OverviewPage() {
  return kind() === 'server' ? <ServerOverview /> : <AgentOverview />
}
