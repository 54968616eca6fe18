/** What messages draw in three dimensions: points and lines in a frame. Pure. */
import { rotate, type Pose, type Quat, type Vec } from './transforms'

export interface Shape {
  readonly frameId: string
  /** x y z of each point */
  readonly points: Float32Array<ArrayBuffer>
  /** joined: one line through all; pairs: a line for each two; dots: none */
  readonly as: 'joined' | 'pairs' | 'dots'
  /** 0xRRGGBB; undefined: the panel's colour for the topic */
  readonly color?: number | undefined
}

const MAX_POINTS = 20_000
const AXIS = 0.5

type Json = Record<string, unknown>

function obj(v: unknown): Json {
  return v !== null && typeof v === 'object' ? (v as Json) : {}
}

function num(v: unknown): number {
  return typeof v === 'number' && Number.isFinite(v) ? v : 0
}

function vec(v: unknown): Vec {
  const o = obj(v)
  return { x: num(o.x), y: num(o.y), z: num(o.z) }
}

export function poseOf(v: unknown): Pose {
  const o = obj(v)
  const q = obj(o.orientation ?? o.rotation)
  const quat: Quat = { x: num(q.x), y: num(q.y), z: num(q.z), w: num(q.w) }
  const length = Math.hypot(quat.x, quat.y, quat.z, quat.w)
  const unit = length > 0 ? quat : { x: 0, y: 0, z: 0, w: 1 }
  return { p: vec(o.position ?? o.translation), q: unit }
}

function list(v: unknown): unknown[] {
  return Array.isArray(v) ? v.slice(0, MAX_POINTS) : []
}

function frameOf(message: Json): string {
  return String(obj(message.header).frame_id ?? '')
}

function flat(points: readonly Vec[]): Float32Array<ArrayBuffer> {
  const out = new Float32Array(points.length * 3)
  points.forEach((p, i) => out.set([p.x, p.y, p.z], i * 3))
  return out
}

/** An arrow along x of a pose, with a head. */
function arrow(pose: Pose): Vec[] {
  const at = (x: number, y: number): Vec => {
    const r = rotate(pose.q, { x, y, z: 0 })
    return { x: pose.p.x + r.x, y: pose.p.y + r.y, z: pose.p.z + r.z }
  }
  const tip = at(AXIS, 0)
  return [pose.p, tip, tip, at(AXIS * 0.7, AXIS * 0.2), tip, at(AXIS * 0.7, -AXIS * 0.2)]
}

function scan(m: Json): Shape {
  const min = num(m.range_min)
  const max = num(m.range_max)
  const points: Vec[] = []
  list(m.ranges).forEach((r, i) => {
    if (typeof r !== 'number' || !(r >= min && r <= max)) return
    const angle = num(m.angle_min) + i * num(m.angle_increment)
    points.push({ x: r * Math.cos(angle), y: r * Math.sin(angle), z: 0 })
  })
  return { frameId: frameOf(m), points: flat(points), as: 'dots' }
}

const linesOfMarker: Record<number, Shape['as']> = { 4: 'joined', 5: 'pairs', 7: 'dots', 8: 'dots' }

function marker(raw: unknown): Shape | undefined {
  const m = obj(raw)
  if (num(m.action) !== 0) return undefined
  const pose = poseOf(m.pose)
  const c = obj(m.color)
  const byte = (v: unknown) => Math.round(Math.min(1, Math.max(0, num(v))) * 255)
  const color = (byte(c.r) << 16) | (byte(c.g) << 8) | byte(c.b)
  const as = linesOfMarker[num(m.type)]
  const points = as
    ? list(m.points).map((p) => moved(pose, vec(p)))
    : outline(num(m.type), pose, vec(m.scale))
  return { frameId: frameOf(m), points: flat(points), as: as ?? 'pairs', color }
}

function moved(pose: Pose, v: Vec): Vec {
  const r = rotate(pose.q, v)
  return { x: pose.p.x + r.x, y: pose.p.y + r.y, z: pose.p.z + r.z }
}

/** Edges of the box around a solid marker; arrows as arrows. */
function outline(type: number, pose: Pose, size: Vec): Vec[] {
  if (type === 0) return arrow(pose)
  const corner = (i: number): Vec =>
    moved(pose, {
      x: (i & 1 ? 0.5 : -0.5) * size.x,
      y: (i & 2 ? 0.5 : -0.5) * size.y,
      z: (i & 4 ? 0.5 : -0.5) * size.z,
    })
  const edges: Vec[] = []
  for (let i = 0; i < 8; i++) {
    for (const bit of [1, 2, 4]) if (!(i & bit)) edges.push(corner(i), corner(i | bit))
  }
  return edges
}

/** The shapes of a message by its type; none when the type is not known. */
export function shapesOf(type: string, message: unknown): Shape[] {
  const m = obj(message)
  const frameId = frameOf(m)
  const pairs = (poses: readonly Pose[]): Shape[] => [
    { frameId, points: flat(poses.flatMap(arrow)), as: 'pairs' },
  ]
  switch (type) {
    case 'sensor_msgs/msg/LaserScan':
      return [scan(m)]
    case 'nav_msgs/msg/Path':
      return [
        { frameId, points: flat(list(m.poses).map((p) => poseOf(obj(p).pose).p)), as: 'joined' },
      ]
    case 'nav_msgs/msg/Odometry':
    case 'geometry_msgs/msg/PoseWithCovarianceStamped':
      return pairs([poseOf(obj(m.pose).pose)])
    case 'geometry_msgs/msg/PoseStamped':
      return pairs([poseOf(m.pose)])
    case 'geometry_msgs/msg/PoseArray':
      return pairs(list(m.poses).map(poseOf))
    case 'visualization_msgs/msg/Marker':
      return [marker(m)].filter((s) => s !== undefined)
    case 'visualization_msgs/msg/MarkerArray':
      return list(m.markers)
        .slice(0, 500)
        .map(marker)
        .filter((s) => s !== undefined)
    default:
      return []
  }
}

export interface TransformOf {
  readonly parent: string
  readonly child: string
  readonly pose: Pose
}

/** The transforms of a tf2_msgs/msg/TFMessage. */
export function transformsOf(message: unknown): TransformOf[] {
  return list(obj(message).transforms).map((raw) => {
    const t = obj(raw)
    return {
      parent: frameOf(t),
      child: String(t.child_frame_id ?? ''),
      pose: poseOf(t.transform),
    }
  })
}
