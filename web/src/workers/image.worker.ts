/// <reference lib="webworker" />
import type { FromPainter, ToPainter } from '../shared/panels/image/screen'

let canvas: OffscreenCanvas | undefined
let context: ImageBitmapRenderingContext | null = null

function answer(error: string | undefined): void {
  self.postMessage({ error } satisfies FromPainter)
}

/** Those before: pictures are decoded side by side and shown in their order. */
let last: Promise<void> = Promise.resolve()

async function paint(bytes: ArrayBuffer, type: string, before: Promise<void>): Promise<void> {
  const decoded = createImageBitmap(new Blob([bytes], { type }))
  decoded.catch(() => undefined) // it may fail while one waits for those before
  await before.catch(() => undefined)
  const bitmap = await decoded
  if (!canvas || !context) return bitmap.close()
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width
    canvas.height = bitmap.height
  }
  context.transferFromImageBitmap(bitmap)
}

self.onmessage = (e: MessageEvent<ToPainter>) => {
  if (e.data.canvas) {
    canvas = e.data.canvas
    context = canvas.getContext('bitmaprenderer')
  }
  const picture = e.data.picture
  if (!picture) return
  last = paint(picture.bytes, picture.type, last)
  last.then(
    () => answer(undefined),
    (why: unknown) => answer(why instanceof Error ? why.message : String(why)),
  )
}
