/// <reference lib="webworker" />
import {
  AxesHelper,
  BufferAttribute,
  BufferGeometry,
  Color,
  GridHelper,
  Group,
  Line,
  LineBasicMaterial,
  LineSegments,
  PerspectiveCamera,
  Points,
  PointsMaterial,
  Scene,
  Vector3,
  WebGLRenderer,
  type Object3D,
} from 'three'

import type { CloudData, FromScene, SceneOptions, ToScene } from '../shared/panels/scene/protocol'
import type { Shape } from '../shared/panels/scene/shapes'
import { Frames } from '../shared/panels/scene/transforms'

/** What is drawn of a topic; each part stands in a frame. */
interface Part {
  frameId: string
  object: Object3D
}

const parts = new Map<string, Part[]>()
const frames = new Frames()
const axes = new Map<string, AxesHelper>()
const scene = new Scene()
const camera = new PerspectiveCamera(60, 1, 0.05, 2000)
const target = new Vector3()
const drawn = new Set<string>()
const HOME = { yaw: -2.3, pitch: 0.6, distance: 14 }
let look = { ...HOME }
let renderer: WebGLRenderer | undefined
let options: SceneOptions = { frame: '', follow: '', dark: false }
let grid: GridHelper | undefined
let queued = false
let told = ''

function answer(m: FromScene): void {
  self.postMessage(m)
}

function start(canvas: OffscreenCanvas): void {
  try {
    renderer = new WebGLRenderer({ canvas, antialias: false })
  } catch (e) {
    return answer({ is: 'failed', why: e instanceof Error ? e.message : String(e) })
  }
  camera.up.set(0, 0, 1)
  answer({ is: 'started' })
}

function dress(): void {
  const { dark } = options
  scene.background = new Color(dark ? 0x1a1b1e : 0xffffff)
  if (grid) scene.remove(grid)
  grid = new GridHelper(40, 40, dark ? 0x777777 : 0x999999, dark ? 0x333333 : 0xdddddd)
  grid.rotation.x = Math.PI / 2
  scene.add(grid)
}

function dispose(o: Object3D): void {
  scene.remove(o)
  o.traverse((x) => {
    if (x instanceof Points || x instanceof Line) x.geometry.dispose()
    if (x instanceof Points || x instanceof Line) x.material.dispose()
  })
}

function replace(topic: string, made: Part[]): void {
  parts.get(topic)?.forEach((p) => dispose(p.object))
  parts.set(topic, made)
  made.forEach((p) => scene.add(p.object))
}

/** Colours by height, from blue (low) to yellow: of two metres. */
function byHeight(xyz: Float32Array, n: number): Uint8Array {
  const rgba = new Uint8Array(n * 4)
  for (let i = 0; i < n; i++) {
    const h = Math.min(1, Math.max(0, ((xyz[i * 3 + 2] as number) + 0.5) / 2.5))
    rgba[i * 4] = 30 + 200 * h
    rgba[i * 4 + 1] = 90 + 90 * h
    rgba[i * 4 + 2] = 200 - 180 * h
    rgba[i * 4 + 3] = 255
  }
  return rgba
}

function cloud(c: CloudData): void {
  const n = Math.min(c.points, Math.floor(c.bytes.byteLength / 12))
  const xyz = new Float32Array(c.bytes, 0, n * 3)
  const colored = (c.flags & 1) !== 0 && c.bytes.byteLength >= n * 16
  const rgba = colored ? new Uint8Array(c.bytes, n * 12, n * 4) : byHeight(xyz, n)
  const geometry = new BufferGeometry()
  geometry.setAttribute('position', new BufferAttribute(xyz, 3))
  geometry.setAttribute('color', new BufferAttribute(rgba, 4, true))
  const material = new PointsMaterial({ size: 2, sizeAttenuation: false, vertexColors: true })
  const points = new Points(geometry, material)
  points.frustumCulled = false
  replace(c.topic, [{ frameId: c.frameId, object: points }])
  drawn.add(c.topic)
}

function objectOf(s: Shape): Object3D {
  const geometry = new BufferGeometry()
  geometry.setAttribute('position', new BufferAttribute(s.points, 3))
  const color = s.color ?? (options.dark ? 0xe69f00 : 0xc14f00)
  const lines = new LineBasicMaterial({ color })
  const made =
    s.as === 'dots'
      ? new Points(geometry, new PointsMaterial({ size: 3, sizeAttenuation: false, color }))
      : s.as === 'joined'
        ? new Line(geometry, lines)
        : new LineSegments(geometry, lines)
  made.frustumCulled = false
  return new Group().add(made)
}

/** Puts everything where its frame stands; what hangs nowhere is hidden and named. */
function stand(): void {
  const fixed = options.frame || frames.mainRoot()
  const missing = new Set<string>()
  for (const [child] of frames.children()) {
    if (axes.has(child)) continue
    const helper = new AxesHelper(0.4)
    axes.set(child, helper)
    scene.add(helper)
  }
  for (const [frame, helper] of axes) put(helper, fixed, frame)
  for (const list of parts.values()) {
    for (const p of list) if (!put(p.object, fixed, p.frameId)) missing.add(p.frameId || '""')
  }
  const at = options.follow ? frames.lookup(fixed, options.follow) : undefined
  if (at) target.set(at.p.x, at.p.y, at.p.z)
  const key = `${fixed} ${[...missing].join(' ')}`
  if (key !== told) answer({ is: 'frames', fixed, missing: [...missing] })
  told = key
}

function put(o: Object3D, fixed: string, frame: string): boolean {
  // Without any transform there is one frame only: that of the data.
  const pose = fixed === '' ? frames.lookup(frame, frame) : frames.lookup(fixed, frame)
  o.visible = pose !== undefined
  if (!pose) return false
  o.position.set(pose.p.x, pose.p.y, pose.p.z)
  o.quaternion.set(pose.q.x, pose.q.y, pose.q.z, pose.q.w)
  return true
}

function draw(): void {
  queued = false
  if (renderer) {
    stand()
    const flat = Math.cos(look.pitch) * look.distance
    camera.position.set(
      target.x + flat * Math.cos(look.yaw),
      target.y + flat * Math.sin(look.yaw),
      target.z + Math.sin(look.pitch) * look.distance,
    )
    camera.lookAt(target)
    renderer.render(scene, camera)
  }
  drawn.forEach((topic) => answer({ is: 'drawn', topic }))
  drawn.clear()
}

function soon(): void {
  if (queued) return
  queued = true
  requestAnimationFrame(draw)
}

function pan(dx: number, dy: number): void {
  const step = look.distance / 600
  const [c, s] = [Math.cos(look.yaw), Math.sin(look.yaw)]
  target.x += (s * dx - c * dy) * step
  target.y += (-c * dx - s * dy) * step
}

function clear(): void {
  for (const topic of [...parts.keys()]) replace(topic, [])
  axes.forEach((helper) => scene.remove(helper))
  axes.clear()
  frames.clear()
}

function take(m: ToScene): void {
  switch (m.do) {
    case 'start':
      start(m.canvas)
      options = m.options
      return dress()
    case 'size':
      renderer?.setPixelRatio(m.ratio)
      renderer?.setSize(m.width, m.height, false)
      camera.aspect = m.width / m.height
      return camera.updateProjectionMatrix()
    case 'options':
      options = m.options
      return dress()
    case 'cloud':
      return cloud(m.cloud)
    case 'shapes':
      return replace(
        m.topic,
        m.shapes.map((s) => ({ frameId: s.frameId, object: objectOf(s) })),
      )
    case 'transforms':
      return m.transforms.forEach((t) => frames.set(t.parent, t.child, t.pose))
    case 'turn':
      look.yaw -= m.dx / 150
      look.pitch = Math.min(1.55, Math.max(-1.2, look.pitch + m.dy / 150))
      return
    case 'pan':
      return pan(m.dx, m.dy)
    case 'zoom':
      look.distance = Math.min(500, Math.max(0.3, look.distance * m.by))
      return
    case 'home':
      look = { ...HOME }
      target.set(0, 0, 0)
      return
    case 'clear':
      return clear()
  }
}

self.onmessage = (e: MessageEvent<ToScene>) => {
  take(e.data)
  soon()
}
