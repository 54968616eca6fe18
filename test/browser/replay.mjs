// Recordings: the list, a session's page, a replay by mouse and keys, its values beside the decoded files, export,
// comparison.
import { readFileSync } from 'node:fs'

import { accessible, done, fits, go, launch, settled, shot, visit } from './lib/browser.mjs'
import { ask, check, facts, fail, failed, main, say, sleep, until } from './lib/run.mjs'

const truth = JSON.parse(readFileSync(facts.truth, 'utf8'))
const topics = Object.keys(truth)
const CAMERA = '/robot1/camera/image_raw/compressed'

/** Numbers between 0 and 1 that are the same for the same seed (mulberry32). */
function dice(seed) {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** A layout as a link has it: a message tree for each topic, the camera below. */
function layout() {
  const raw = topics.map((topic, i) => ({
    id: `p${i}`,
    kind: 'raw',
    x: i * 4,
    y: 0,
    w: 4,
    h: 8,
    config: { topic },
  }))
  const image = { id: 'p9', kind: 'image', x: 0, y: 8, w: 6, h: 6, config: { topic: CAMERA } }
  const text = JSON.stringify({ version: 1, name: 'test', panels: [...raw, image] })
  return Buffer.from(text).toString('base64url')
}

/** Nanoseconds of the clock under the replay, which is exact when it stands still. */
async function now(page) {
  const text = await page.getByRole('region', { name: 'Playback' }).locator('.bp-num').first().innerText()
  const m = /(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)\.(\d{9})/.exec(text)
  if (!m) return undefined
  return BigInt(Date.parse(`${m[1]}T${m[2]}Z`)) * 1_000_000n + BigInt(m[3])
}

// In the page: every field of the tree of this topic, folded ones opened first.
function readTree(topic) {
  const tree = document.querySelector(`[role=region][aria-label="${topic}"] [role=tree]`)
  if (!tree) return null
  const nameOf = (li) => li.querySelector(':scope > button')?.textContent.replace(/^[▾▸]\s*/, '')
  const closed = () =>
    [...tree.querySelectorAll('li[aria-expanded=false]')].filter((li) => !/\[\d+\]/.test(nameOf(li)))
  if (closed().length > 0) {
    for (const li of closed()) li.querySelector('button').click()
    return null
  }
  const found = {}
  const walk = (list, path) => {
    for (const li of list.children) {
      const inner = li.querySelector(':scope > ul')
      const [key, value] = li.querySelectorAll(':scope > span')
      const name = (key ? key.textContent : nameOf(li)).trim().replace(/\s*\[\d+\]$/, '')
      const at = path ? `${path}.${name}` : name
      if (inner) walk(inner, at)
      else if (value) found[at] = value.textContent
    }
  }
  walk(tree, '')
  return found
}

/** The newest message of a topic at this time, as the files have it. */
function expected(topic, at) {
  let last
  for (const [t, fields] of truth[topic]) {
    if (BigInt(t) > at) break
    last = fields
  }
  return last
}

function same(shown, wanted) {
  if (typeof wanted === 'number') return Number(shown) === wanted
  return shown === String(wanted)
}

function difference(shown, wanted) {
  if (!shown) return 'nothing is shown'
  for (const [name, value] of Object.entries(wanted))
    if (!(name in shown)) return `${name} is not shown: ${Object.keys(shown)}`
    else if (!same(shown[name], value)) return `${name} is ${shown[name]}, not ${value}`
  return undefined
}

/** Waits until all trees show what the files have at `at`; what differs after ten seconds is a failure. */
async function compare(page, at) {
  const end = Date.now() + 10_000
  for (;;) {
    const wrong = []
    for (const topic of topics) {
      const wanted = expected(topic, at)
      const why = wanted && difference(await page.evaluate(readTree, topic), wanted)
      if (why) wrong.push(`${topic} at ${at}: ${why}`)
    }
    if (wrong.length === 0) return
    if (Date.now() > end) {
      fail(wrong.join('; '))
      return
    }
  }
}

async function values(page) {
  const slider = page.getByRole('slider', { name: 'Place in the recording' })
  const box = await slider.boundingBox()
  const random = dice(facts.seed)
  const took = []
  let fields = 0
  for (let i = 0; i < facts.places && failed() < 5; i++) {
    const start = Date.now()
    await page.mouse.click(box.x + 1 + random() * (box.width - 2), box.y + box.height / 2)
    await compare(page, await now(page))
    took.push(Date.now() - start)
  }
  for (const topic of topics) fields += Object.keys((await page.evaluate(readTree, topic)) ?? {}).length
  check(fields > 40, `${fields} fields are shown`)
  took.sort((a, b) => a - b)
  const at = (part) => took[Math.floor(part * (took.length - 1))]
  say(`  ${facts.places} places, ${fields} fields each: ${at(0.5)} ms until compared, p95 ${at(0.95)}, at most ${at(1)}`)
  check(at(0.95) < 1500, `a seek takes ${at(0.95)} ms`)
}

async function byKeys(page) {
  await page.locator('main h1, main h2').first().click()
  await page.keyboard.press('Home')
  const first = await until(() => now(page), 'the clock')
  await page.keyboard.press('.')
  await until(async () => (await now(page)) > first, 'a step goes on')
  const stepped = await now(page)
  await page.keyboard.press(',')
  await until(async () => (await now(page)) < stepped, 'a step goes back')
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('PageDown')
  await compare(page, await now(page))
  const before = await now(page)
  await page.keyboard.press('Space')
  await sleep(1500)
  await page.keyboard.press('Space')
  await until(async () => (await now(page)) !== undefined, 'it stands still')
  const gone = Number(((await now(page)) - before) / 1_000_000n)
  check(gone > 500 && gone < 6000, `1.5 s of playing went on by ${gone} ms`)
  await compare(page, await now(page))
  await page.keyboard.press('?')
  await page.getByRole('dialog', { name: 'Keys of the replay' }).waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'hidden' })
}

async function marks(page) {
  await page.getByRole('button', { name: 'Marks: 2' }).click()
  await page.getByRole('menuitem', { name: /back again/ }).click()
  const at = await now(page)
  await compare(page, at)
  await page.keyboard.press('PageUp')
  await until(async () => (await now(page)) < at, 'the mark before')
}

async function exported(page) {
  await page.getByRole('button', { name: 'Export', exact: true }).click()
  const dialog = page.getByRole('dialog', { name: 'Export' })
  await dialog.getByLabel(/The whole recording/).check()
  await accessible(page, 'the dialog of an export')
  await shot(page, 'export')
  const link = dialog.getByRole('link', { name: 'Download' })
  const { pathname, search } = new URL(await link.evaluate((a) => a.href))
  const got = await ask('export', pathname + search)
  for (const topic of topics)
    check(got[topic] === truth[topic].length, `${topic}: ${got[topic]} of ${truth[topic].length} exported`)
  check(Object.keys(got).length === topics.length + 1, `only what is shown: ${Object.keys(got)}`)
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'hidden' })
}

async function replay(page, scheme) {
  await go(page, `replay/${facts.drive}?layout=${layout()}`)
  await page.locator('main canvas').first().waitFor()
  await until(async () => (await page.evaluate(readTree, topics[0])) !== null, 'values')
  await accessible(page, `a replay, ${scheme}`)
  await fits(page, 'a replay')
  await shot(page, `replay-${scheme}`)
}

async function looked(page) {
  await go(page, 'sessions')
  await shot(page, 'list')
  await page.getByRole('row').filter({ hasText: 'mission of drive' }).click()
  await page.waitForURL((url) => url.pathname === `/sessions/${facts.drive}`)
  await settled(page, 'a session')
  for (const tab of await page.getByRole('tab').all()) {
    await tab.click()
    await sleep(300)
    await accessible(page, `a session, ${await tab.innerText()}`)
    await shot(page, `session-${(await tab.innerText()).toLowerCase().replace(/\W.*/, '')}`)
  }
  await page.locator('main').getByRole('link', { name: /replay/i }).first().click()
  await page.waitForURL((url) => url.pathname === `/replay/${facts.drive}`)
  await page.locator('main canvas').first().waitFor()
  await sleep(1500)
  await shot(page, 'suggested')
}

async function compared(page) {
  await go(page, 'sessions')
  await page.getByLabel('Choose drive for a comparison').check()
  await page.getByLabel('Choose short for a comparison').check()
  await page.locator('main').getByRole('button', { name: 'Compare', exact: true }).or(
    page.locator('main').getByRole('link', { name: 'Compare', exact: true })).first().click()
  await page.getByRole('heading', { name: 'Two sessions' }).waitFor()
  await settled(page, 'two sessions')
  await accessible(page, 'two sessions')
  await shot(page, 'compared')
}

async function missing(page, heard) {
  const back = heard.forgive(/404/)
  await go(page, 'replay/no-such-session')
  await page.locator('main').getByText(/no-such-session|no session/i).first().waitFor()
  await shot(page, 'no-such-session')
  back()
}

await main(async () => {
  const browser = await launch()
  const options = { timezoneId: 'UTC', colorScheme: 'dark' }
  const { page, heard } = await visit(browser, options)
  await looked(page)
  await replay(page, 'dark')
  await values(page)
  await byKeys(page)
  await marks(page)
  await exported(page)
  await compared(page)
  await missing(page, heard)
  const light = await visit(browser, { timezoneId: 'UTC', colorScheme: 'light' })
  await replay(light.page, 'light')
  light.heard.verdict('a replay, light')
  await done(browser, heard, 'recordings')
})
