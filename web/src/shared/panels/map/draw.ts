import type { Size } from '../hooks'
import { project, roundLength, stretch, tilesOf, type Metres, type View } from './mercator'
import type { Track } from './track'

/** Mercator metres to CSS pixels. */
interface Frame {
  c: CanvasRenderingContext2D
  size: Size
  middle: Metres
  scale: number
}

const tiles = new Map<string, HTMLImageElement>()

function tile(url: string): HTMLImageElement | undefined {
  const known = tiles.get(url)
  if (known) return known.complete && known.naturalWidth > 0 ? known : undefined
  if (tiles.size > 256) tiles.clear()
  const image = new Image()
  image.src = url
  tiles.set(url, image)
  return undefined
}

function context(canvas: HTMLCanvasElement, { width, height }: Size) {
  const ratio = devicePixelRatio
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio)
    canvas.height = Math.round(height * ratio)
    canvas.style.width = `${width}px`
    canvas.style.height = `${height}px`
  }
  const c = canvas.getContext('2d')
  c?.setTransform(ratio, 0, 0, ratio, 0, 0)
  return c
}

export function drawMap(
  canvas: HTMLCanvasElement,
  size: Size,
  track: Track,
  view: View,
  dark: boolean,
  template: string,
): void {
  const last = track.last
  const c = context(canvas, size)
  if (!c || !last || size.width === 0) return
  const k = stretch(last.lat)
  const here = project(last)
  const middle = { x: here.x + view.dx * k, y: here.y + view.dy * k }
  const f: Frame = { c, size, middle, scale: 1 / (view.perPixel * k) }
  c.fillStyle = dark ? '#1a1b1e' : '#ffffff'
  c.fillRect(0, 0, size.width, size.height)
  if (template === '') grid(f, here, k, view, dark)
  else ground(f, template)
  line(f, track, dark)
  ruler(f, view, dark)
}

function px(f: Frame, m: Metres): [number, number] {
  return [
    f.size.width / 2 + (m.x - f.middle.x) * f.scale,
    f.size.height / 2 - (m.y - f.middle.y) * f.scale,
  ]
}

function ground(f: Frame, template: string): void {
  const w = f.size.width / 2 / f.scale
  const h = f.size.height / 2 / f.scale
  const min = { x: f.middle.x - w, y: f.middle.y - h }
  const max = { x: f.middle.x + w, y: f.middle.y + h }
  for (const t of tilesOf(template, min, max, 1 / f.scale)) {
    const image = tile(t.url)
    if (!image) continue
    const [x, y] = px(f, { x: t.left, y: t.top })
    f.c.drawImage(image, x, y, t.side * f.scale, t.side * f.scale)
  }
}

// The grid stands on the ground: its origin is the world's, not the robot's.
function grid(f: Frame, here: Metres, k: number, view: View, dark: boolean): void {
  const step = roundLength(view.perPixel * 120) * k * f.scale
  const [ox, oy] = px(f, {
    x: here.x - (here.x % (step / f.scale)),
    y: here.y - (here.y % (step / f.scale)),
  })
  f.c.strokeStyle = dark ? '#333' : '#e3e6ea'
  f.c.lineWidth = 1
  f.c.beginPath()
  for (let x = ((ox % step) + step) % step; x < f.size.width; x += step) {
    f.c.moveTo(x, 0)
    f.c.lineTo(x, f.size.height)
  }
  for (let y = ((oy % step) + step) % step; y < f.size.height; y += step) {
    f.c.moveTo(0, y)
    f.c.lineTo(f.size.width, y)
  }
  f.c.stroke()
}

function line(f: Frame, track: Track, dark: boolean): void {
  const color = dark ? '#56B4E9' : '#0072B2'
  f.c.strokeStyle = color
  f.c.lineWidth = 2
  f.c.beginPath()
  track.points.forEach((p, i) => {
    const [x, y] = px(f, project(p))
    if (i === 0) f.c.moveTo(x, y)
    else f.c.lineTo(x, y)
  })
  f.c.stroke()
  const last = track.last
  if (!last) return
  const [x, y] = px(f, project(last))
  f.c.fillStyle = color
  f.c.beginPath()
  f.c.arc(x, y, 6, 0, 2 * Math.PI)
  f.c.fill()
}

function ruler(f: Frame, view: View, dark: boolean): void {
  const metres = roundLength(view.perPixel * 120)
  const long = metres / view.perPixel
  const y = f.size.height - 12
  f.c.strokeStyle = f.c.fillStyle = dark ? '#ddd' : '#333'
  f.c.lineWidth = 2
  f.c.beginPath()
  f.c.moveTo(10, y)
  f.c.lineTo(10 + long, y)
  f.c.stroke()
  f.c.font = '12px system-ui, sans-serif'
  f.c.fillText(metres >= 1000 ? `${metres / 1000} km` : `${metres} m`, 10, y - 6)
}
