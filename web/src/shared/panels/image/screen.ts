import type { PanelFrame } from '../source'

export interface ToPainter {
  canvas?: OffscreenCanvas
  picture?: { bytes: ArrayBuffer; type: string }
}

/** Undefined: drawn. Else why not. */
export type FromPainter = { error: string | undefined }

/**
 * A canvas in the page that a worker of its own paints. One picture is painted and one may wait:
 * draw() ends when the one before is drawn, so that the next one comes while this one is painted.
 */
export class Screen {
  private readonly canvas = document.createElement('canvas')
  private readonly worker: Worker
  private readonly waiting: ((error: string | undefined) => void)[] = []
  private newest: Promise<string | undefined> | undefined

  constructor(host: HTMLElement, label: string) {
    this.canvas.setAttribute('role', 'img')
    this.canvas.setAttribute('aria-label', label)
    host.append(this.canvas)
    this.worker = new Worker(new URL('../../../workers/image.worker.ts', import.meta.url), {
      type: 'module',
      name: 'image',
    })
    this.worker.onmessage = (e: MessageEvent<FromPainter>) => this.finish(e.data.error)
    this.worker.onerror = () => this.finishAll('the worker that draws could not be started')
    const canvas = this.canvas.transferControlToOffscreen()
    this.worker.postMessage({ canvas } satisfies ToPainter, [canvas])
  }

  draw(f: PanelFrame): Promise<string | undefined> {
    // The payload is a view into its message: only its own bytes are handed over.
    const bytes = f.payload.slice().buffer
    const type = f.kind === 'png' ? 'image/png' : 'image/jpeg'
    const before = this.newest
    this.newest = new Promise((done) => this.waiting.push(done))
    this.worker.postMessage({ picture: { bytes, type } } satisfies ToPainter, [bytes])
    return before ?? this.newest // of the first one it is known whether it can be shown
  }

  close(): void {
    this.finishAll(undefined)
    this.worker.terminate()
    this.canvas.remove()
  }

  /** Answers come in the order of the pictures. */
  private finish(error: string | undefined): void {
    this.waiting.shift()?.(error)
  }

  private finishAll(error: string | undefined): void {
    while (this.waiting.length > 0) this.finish(error)
  }
}
