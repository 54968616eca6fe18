/** Frames of a robot (tf): a tree of poses, and where a frame stands in another. */

export interface Vec {
  readonly x: number
  readonly y: number
  readonly z: number
}

export interface Quat extends Vec {
  readonly w: number
}

export interface Pose {
  readonly p: Vec
  readonly q: Quat
}

export const IDENTITY: Pose = { p: { x: 0, y: 0, z: 0 }, q: { x: 0, y: 0, z: 0, w: 1 } }

/** Frames that are kept at most; deeper chains are taken for loops. */
const MAX_FRAMES = 2000
const MAX_DEPTH = 100

export function rotate(q: Quat, v: Vec): Vec {
  const tx = 2 * (q.y * v.z - q.z * v.y)
  const ty = 2 * (q.z * v.x - q.x * v.z)
  const tz = 2 * (q.x * v.y - q.y * v.x)
  return {
    x: v.x + q.w * tx + q.y * tz - q.z * ty,
    y: v.y + q.w * ty + q.z * tx - q.x * tz,
    z: v.z + q.w * tz + q.x * ty - q.y * tx,
  }
}

function times(a: Quat, b: Quat): Quat {
  return {
    w: a.w * b.w - a.x * b.x - a.y * b.y - a.z * b.z,
    x: a.w * b.x + a.x * b.w + a.y * b.z - a.z * b.y,
    y: a.w * b.y - a.x * b.z + a.y * b.w + a.z * b.x,
    z: a.w * b.z + a.x * b.y - a.y * b.x + a.z * b.w,
  }
}

/** `b`, which is told in `a`'s frame, in the frame in which `a` is told. */
export function compose(a: Pose, b: Pose): Pose {
  const p = rotate(a.q, b.p)
  return { p: { x: a.p.x + p.x, y: a.p.y + p.y, z: a.p.z + p.z }, q: times(a.q, b.q) }
}

export function invert(a: Pose): Pose {
  const q = { x: -a.q.x, y: -a.q.y, z: -a.q.z, w: a.q.w }
  const p = rotate(q, a.p)
  return { p: { x: -p.x, y: -p.y, z: -p.z }, q }
}

interface Link {
  readonly parent: string
  pose: Pose
}

export class Frames {
  private readonly links = new Map<string, Link>()

  set(parent: string, child: string, pose: Pose): void {
    if (child === '' || child === parent) return
    if (this.links.size >= MAX_FRAMES && !this.links.has(child)) return
    this.links.set(child, { parent, pose })
  }

  clear(): void {
    this.links.clear()
  }

  /** All frames that have a parent, with it. */
  children(): [child: string, parent: string][] {
    return [...this.links].map(([child, l]) => [child, l.parent])
  }

  has(frame: string): boolean {
    return this.links.has(frame) || [...this.links.values()].some((l) => l.parent === frame)
  }

  /** The frame on which a frame stands in the end. */
  root(frame: string): string {
    return this.chain(frame).root
  }

  /** The root under which most frames stand; '' when there are none. */
  mainRoot(): string {
    const count = new Map<string, number>()
    for (const child of this.links.keys()) {
      const root = this.root(child)
      count.set(root, (count.get(root) ?? 0) + 1)
    }
    return [...count].sort((a, b) => b[1] - a[1])[0]?.[0] ?? ''
  }

  /** Where `frame` stands in `fixed`; undefined when they do not hang together. */
  lookup(fixed: string, frame: string): Pose | undefined {
    if (fixed === frame) return IDENTITY
    const a = this.chain(fixed)
    const b = this.chain(frame)
    return a.root === b.root ? compose(invert(a.pose), b.pose) : undefined
  }

  private chain(frame: string): { root: string; pose: Pose } {
    let pose = IDENTITY
    let at = frame
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const link = this.links.get(at)
      if (!link) break
      pose = compose(link.pose, pose)
      at = link.parent
    }
    return { root: at, pose }
  }
}
