import type { PanelFrame } from '../source'
import type { FromScene, SceneOptions, ToScene } from './protocol'
import type { Shape, TransformOf } from './shapes'

interface Told {
  failed: (why: string) => void
  frames: (fixed: string, missing: string[]) => void
}

/** The canvas of a scene and the worker that draws it. */
export class Stage {
  private readonly canvas = document.createElement('canvas')
  private readonly worker: Worker
  private readonly waiting = new Map<string, () => void>()

  constructor(host: HTMLElement, told: Told) {
    host.append(this.canvas)
    this.worker = new Worker(new URL('../../../workers/scene.worker.ts', import.meta.url), {
      type: 'module',
      name: 'scene',
    })
    this.worker.onmessage = (e: MessageEvent<FromScene>) => this.take(e.data, told)
    this.worker.onerror = (e) => told.failed(e.message || 'worker')
    const canvas = this.canvas.transferControlToOffscreen()
    const options = { frame: '', follow: '', dark: false }
    this.post({ do: 'start', canvas, options }, [canvas])
    this.watchPointer()
  }

  options(options: SceneOptions): void {
    this.post({ do: 'options', options })
  }

  size(width: number, height: number): void {
    if (width === 0 || height === 0) return
    this.canvas.style.width = `${width}px`
    this.canvas.style.height = `${height}px`
    this.post({ do: 'size', width, height, ratio: Math.min(2, devicePixelRatio) })
  }

  transforms(transforms: TransformOf[]): void {
    this.post({ do: 'transforms', transforms })
  }

  shapes(topic: string, shapes: Shape[]): void {
    this.post({ do: 'shapes', topic, shapes })
  }

  /** Ends when the cloud has been drawn, so that the next one is asked for only then. */
  cloud(f: PanelFrame): Promise<void> {
    const bytes = f.payload.slice().buffer
    const { topic, frameId, flags } = f
    return new Promise((done) => {
      this.waiting.get(topic)?.()
      this.waiting.set(topic, done)
      this.post({ do: 'cloud', cloud: { topic, frameId, flags, points: f.width, bytes } }, [bytes])
    })
  }

  clear(): void {
    this.post({ do: 'clear' })
  }

  /** Whether the key means something here. */
  key(key: string, shift: boolean): boolean {
    const arrows: Record<string, [number, number]> = {
      ArrowLeft: [-20, 0],
      ArrowRight: [20, 0],
      ArrowUp: [0, -20],
      ArrowDown: [0, 20],
    }
    const by = arrows[key]
    if (by) this.post({ do: shift ? 'pan' : 'turn', dx: by[0], dy: by[1] })
    else if (key === '+') this.post({ do: 'zoom', by: 0.8 })
    else if (key === '-') this.post({ do: 'zoom', by: 1.25 })
    else if (key === '0') this.post({ do: 'home' })
    else return false
    return true
  }

  close(): void {
    this.worker.terminate()
    this.waiting.forEach((done) => done())
    this.canvas.remove()
  }

  private take(m: FromScene, told: Told): void {
    if (m.is === 'failed') {
      this.waiting.forEach((done) => done())
      told.failed(m.why)
    } else if (m.is === 'drawn') {
      this.waiting.get(m.topic)?.()
      this.waiting.delete(m.topic)
    } else if (m.is === 'frames') told.frames(m.fixed, m.missing)
  }

  private post(message: ToScene, transfer: Transferable[] = []): void {
    this.worker.postMessage(message, transfer)
  }

  private watchPointer(): void {
    const c = this.canvas
    c.addEventListener('pointerdown', (e) => c.setPointerCapture(e.pointerId))
    c.addEventListener('pointermove', (e) => {
      if (!c.hasPointerCapture(e.pointerId)) return
      const pan = e.shiftKey || (e.buttons & 6) !== 0
      this.post({ do: pan ? 'pan' : 'turn', dx: e.movementX, dy: e.movementY })
    })
    c.addEventListener('contextmenu', (e) => e.preventDefault())
    c.addEventListener(
      'wheel',
      (e) => {
        e.preventDefault()
        this.post({ do: 'zoom', by: e.deltaY > 0 ? 1.12 : 1 / 1.12 })
      },
      { passive: false },
    )
  }
}
