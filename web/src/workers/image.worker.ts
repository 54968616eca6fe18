/// <reference lib="webworker" />
import type { FromPainter, ToPainter } from '../shared/panels/image/screen'

let canvas: OffscreenCanvas | undefined
let context: ImageBitmapRenderingContext | null = null

function answer(error: string | undefined): void {
  self.postMessage({ error } satisfies FromPainter)
}

async function paint(bytes: ArrayBuffer, type: string): Promise<void> {
  const bitmap = await createImageBitmap(new Blob([bytes], { type }))
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
  paint(picture.bytes, picture.type).then(
    () => answer(undefined),
    (why: unknown) => answer(why instanceof Error ? why.message : String(why)),
  )
}
