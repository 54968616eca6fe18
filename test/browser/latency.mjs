// How old pictures are when they are seen: each carries its number as blocks (`bagpipe sim`), which is read from the
// canvas in every animation frame. Prints one line of JSON for each viewer; ages are made of it by test/bench/web.py.
import { go, launch, visit } from './lib/browser.mjs'
import { check, facts, main, say, sleep } from './lib/run.mjs'

const BLOCKS = 16
const BLOCK = 32

// In the page, before anything of it runs: a layout, and ears for tasks that are too long.
function prepare({ layout }) {
  localStorage.setItem('bagpipe.layouts', JSON.stringify([layout]))
  localStorage.setItem('bagpipe.layout', layout.name)
  window.bpTasks = []
  new PerformanceObserver((list) => {
    for (const e of list.getEntries()) window.bpTasks.push(Math.round(e.duration))
  }).observe({ entryTypes: ['longtask'] })
}

// In the page: for `ms`, [unix ms, number] for each number at the moment it is seen first.
function watch({ ms, blocks, block, width }) {
  const small = document.createElement('canvas')
  small.width = blocks * block
  small.height = block
  const ctx = small.getContext('2d', { willReadFrequently: true })
  const seen = []
  let last = -1
  let frames = 0
  const begun = performance.now()
  return new Promise((done) => {
    const look = () => {
      frames++
      const canvas = document.querySelector('canvas[role=img]')
      if (canvas) {
        const scale = canvas.width / width
        const [w, h] = [blocks * block, block]
        ctx.drawImage(canvas, 0, 0, w * scale, h * scale, 0, 0, w, h)
        const { data } = ctx.getImageData(0, block / 2, w, 1)
        let n = 0
        for (let i = 0; i < blocks; i++) if (data[(i + 0.5) * block * 4] > 127) n |= 1 << i
        if (n !== last) seen.push([performance.timeOrigin + performance.now(), n])
        last = n
      }
      if (performance.now() - begun < ms) requestAnimationFrame(look)
      else done({ seen, frames, tasks: window.bpTasks.splice(0) })
    }
    requestAnimationFrame(look)
  })
}

function layout() {
  const panels = [
    {
      id: 'p1',
      kind: 'image',
      x: 0,
      y: 0,
      w: 6,
      h: 8,
      config: { topic: facts.camera, width: facts.shown },
    },
  ]
  if (facts.cloud)
    panels.push({ id: 'p2', kind: 'scene', x: 6, y: 0, w: 6, h: 8, config: facts.scene })
  return { version: 1, name: 'bench', panels }
}

async function viewer(browser, limited) {
  const { page, context } = await visit(browser)
  await context.addInitScript(prepare, { layout: layout() })
  const cdp = await context.newCDPSession(page)
  await go(page, 'live')
  await page.locator('canvas[role=img]').first().waitFor({ timeout: 60_000 })
  if (limited) {
    await cdp.send('Network.enable')
    await cdp.send('Network.emulateNetworkConditions', {
      offline: false,
      latency: 0,
      downloadThroughput: facts.bytes_s,
      uploadThroughput: facts.bytes_s,
    })
  }
  return page
}

await main(async () => {
  const browser = await launch()
  const pages = []
  for (let i = 0; i < facts.viewers; i++) pages.push(await viewer(browser, facts.bytes_s > 0))
  await sleep(facts.settle * 1000)
  const what = { ms: facts.secs * 1000, blocks: BLOCKS, block: BLOCK, width: facts.width }
  const all = await Promise.all(pages.map((p) => p.evaluate(watch, what)))
  for (const one of all) {
    check(one.seen.length > 5, `${one.seen.length} pictures were seen`)
    say(`RESULT ${JSON.stringify(one)}`)
  }
  await browser.close()
})
