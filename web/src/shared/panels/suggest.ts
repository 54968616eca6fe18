import { addPanel, emptyLayout, type Layout, type PanelConfig, type PanelKind } from './layout'
import type { TopicInfo } from './source'

/** Types of topics that a panel can show. */
export const imageTypes = ['sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage']
export const cloudTypes = ['sensor_msgs/msg/PointCloud2']
export const fixTypes = ['sensor_msgs/msg/NavSatFix']
export const logTypes = ['rcl_interfaces/msg/Log']
export const diagnosticTypes = ['diagnostic_msgs/msg/DiagnosticArray']
export const sceneTypes = [
  ...cloudTypes,
  'sensor_msgs/msg/LaserScan',
  'nav_msgs/msg/Path',
  'nav_msgs/msg/Odometry',
  'geometry_msgs/msg/PoseStamped',
  'geometry_msgs/msg/PoseWithCovarianceStamped',
  'geometry_msgs/msg/PoseArray',
  'visualization_msgs/msg/Marker',
  'visualization_msgs/msg/MarkerArray',
]

export function topicsOfType(topics: readonly TopicInfo[], types: readonly string[]): TopicInfo[] {
  return topics.filter((t) => types.includes(t.type))
}

/** The panel kinds and settings with which a topic is best looked at. */
export function panelFor(topic: TopicInfo): { kind: PanelKind; config: PanelConfig } {
  if (imageTypes.includes(topic.type)) return { kind: 'image', config: { topic: topic.name } }
  if (fixTypes.includes(topic.type)) return { kind: 'map', config: { topic: topic.name } }
  if (logTypes.includes(topic.type)) return { kind: 'log', config: { topic: topic.name } }
  if (diagnosticTypes.includes(topic.type)) {
    return { kind: 'diagnostics', config: { topic: topic.name } }
  }
  if (sceneTypes.includes(topic.type)) return { kind: 'scene', config: { topics: [topic.name] } }
  return { kind: 'raw', config: { topic: topic.name } }
}

function robotOf(topic: string): string {
  return topic.split('/')[1] ?? ''
}

/** A first layout out of what there is: one robot's camera, cloud, track, speed and log. */
export function suggest(name: string, topics: readonly TopicInfo[]): Layout {
  const image = bestImage(topics)
  const cloud = topicsOfType(topics, cloudTypes)[0]
  const odom = topicsOfType(topics, ['nav_msgs/msg/Odometry'])[0]
  const robot = robotOf((image ?? cloud ?? odom)?.name ?? '')
  const mine = topics.filter((t) => robotOf(t.name) === robot)
  let layout = emptyLayout(name)
  if (image) layout = addPanel(layout, 'image', { topic: image.name })
  const scene = [cloud, topicsOfType(mine, ['sensor_msgs/msg/LaserScan'])[0], odom]
  const shown = scene.flatMap((t) => (t ? [t.name] : []))
  if (shown.length > 0) layout = addPanel(layout, 'scene', { topics: shown })
  if (odom) layout = addPanel(layout, 'plot', { fields: speedOf(odom.name) })
  const fix = topicsOfType(mine, fixTypes)[0]
  if (fix) layout = addPanel(layout, 'map', { topic: fix.name })
  const diagnostics = topicsOfType(topics, diagnosticTypes)[0]
  if (diagnostics) layout = addPanel(layout, 'diagnostics', { topic: diagnostics.name })
  const battery = topicsOfType(mine, ['sensor_msgs/msg/BatteryState'])[0]
  if (battery) layout = addPanel(layout, 'gauge', batteryGauge(battery.name))
  const log = topicsOfType(topics, logTypes)[0]
  if (log) layout = addPanel(layout, 'log', { topic: log.name })
  return layout
}

// A compressed picture may pass through as it is; a raw one has to be coded for us.
function bestImage(topics: readonly TopicInfo[]): TopicInfo | undefined {
  const all = topicsOfType(topics, imageTypes)
  return all.find((t) => t.type.endsWith('CompressedImage')) ?? all[0]
}

function speedOf(topic: string) {
  return [
    { topic, path: 'twist.twist.linear.x' },
    { topic, path: 'twist.twist.angular.z' },
  ]
}

function batteryGauge(topic: string): PanelConfig {
  return { field: { topic, path: 'percentage' }, min: 0, max: 1 }
}
