import type { PanelFrame } from '../source'

export interface ToPainter {
  canvas?: OffscreenCanvas
  picture?: { bytes: ArrayBuffer; type: string }
}

/** Undefined: drawn. Else why not. */
export type FromPainter = { error: string | undefined }

/**
 * A canvas in the page that a worker of its own paints. One picture is on its way at a time:
 * draw() ends when it is drawn, and only then the next one is asked for.
 */
export class Screen {
  private readonly canvas = document.createElement('canvas')
  private readonly worker: Worker
  private done: ((error: string | undefined) => void) | undefined

  constructor(host: HTMLElement, label: string) {
    this.canvas.setAttribute('role', 'img')
    this.canvas.setAttribute('aria-label', label)
    host.append(this.canvas)
    this.worker = new Worker(new URL('../../../workers/image.worker.ts', import.meta.url), {
      type: 'module',
      name: 'image',
    })
    this.worker.onmessage = (e: MessageEvent<FromPainter>) => this.finish(e.data.error)
    this.worker.onerror = () => this.finish('the worker that draws could not be started')
    const canvas = this.canvas.transferControlToOffscreen()
    this.worker.postMessage({ canvas } satisfies ToPainter, [canvas])
  }

  draw(f: PanelFrame): Promise<string | undefined> {
    // The payload is a view into its message: only its own bytes are handed over.
    const bytes = f.payload.slice().buffer
    const type = f.kind === 'png' ? 'image/png' : 'image/jpeg'
    return new Promise((done) => {
      this.finish(undefined)
      this.done = done
      this.worker.postMessage({ picture: { bytes, type } } satisfies ToPainter, [bytes])
    })
  }

  close(): void {
    this.finish(undefined)
    this.worker.terminate()
    this.canvas.remove()
  }

  private finish(error: string | undefined): void {
    this.done?.(error)
    this.done = undefined
  }
}
