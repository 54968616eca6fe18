// Debian's Chromium by Playwright, with ears open: what a page must never do is a failure of the test
// that happened to be there.
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

import { atBreak, check, fail, facts, say } from './run.mjs'

const require = createRequire(`${facts.npm}/`)
const { chromium } = require('playwright-core')
const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']

export async function launch() {
  return chromium.launch({
    executablePath: facts.chromium,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking'],
  })
}

// In the page, before anything of it runs.
function listen() {
  const tell = (what, text) => window.bpHeard(what, text).catch(() => undefined)
  document.addEventListener('securitypolicyviolation', (e) =>
    tell('csp', `${e.effectiveDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`),
  )
}

/** What pages have done that they must not. */
class Heard {
  constructor(hosts, forgiven) {
    this.hosts = new Set(hosts)
    this.forgiven = forgiven // patterns of console errors that this test brings about itself
    this.faults = []
    this.requests = 0
    this.loads = 0
  }

  note(kind, text) {
    if (kind === 'console' && this.forgiven.some((p) => p.test(text))) return
    this.faults.push(`${kind}: ${text}`)
  }

  request(url) {
    this.requests++
    const { protocol, host } = new URL(url)
    if (!['http:', 'https:', 'ws:', 'wss:'].includes(protocol)) return
    if (!this.hosts.has(host)) this.note('request', `to another host: ${url}`)
    if (/token=|Bearer|password=/i.test(url)) this.note('request', `a secret in an address: ${url}`)
  }

  /** Fails for each that was heard since it was last asked. */
  verdict(where) {
    for (const f of new Set(this.faults)) fail(`${where}: ${f}`)
    this.faults = []
  }

  /** Console errors of a part of a test that makes them; back by the function returned. */
  forgive(...patterns) {
    const before = this.forgiven
    this.forgiven = [...before, ...patterns]
    return () => (this.forgiven = before)
  }
}

/**
 * A page of its own, listened to.
 *
 * @param options of the context; `forgiven`: patterns of console errors that the test brings about;
 *   `hosts`: host:port that may be talked to besides that of the address
 */
export async function visit(browser, options = {}) {
  const { forgiven = [], hosts = [], ...rest } = options
  const heard = new Heard([new URL(facts.url).host, ...hosts], forgiven)
  const context = await browser.newContext({
    viewport: { width: 1360, height: 900 },
    locale: 'en-GB',
    reducedMotion: 'reduce',
    ...rest,
  })
  context.setDefaultTimeout(20_000)
  await context.exposeFunction('bpHeard', (kind, text) => heard.note(kind, text))
  await context.addInitScript(listen)
  context.on('request', (r) => heard.request(r.url()))
  context.on('page', (page) => {
    page.on('console', (m) => {
      if (m.type() === 'error') heard.note('console', `${m.text()} @ ${m.location().url}`)
    })
    page.on('pageerror', (e) => heard.note('exception', e.stack ?? e.message))
    page.on('websocket', (ws) => heard.request(ws.url()))
    page.on('dialog', (d) => {
      heard.note('dialog', d.message())
      void d.dismiss()
    })
    page.on('load', () => heard.loads++)
  })
  const page = await context.newPage()
  atBreak.push(() => shot(page, 'where-it-broke'))
  return { context, page, heard }
}

/** A picture for whoever looks: NAME.png in the folder of this test. */
export async function shot(page, name) {
  mkdirSync(facts.pictures, { recursive: true })
  await page.screenshot({ path: join(facts.pictures, `${name}.png`), animations: 'disabled' })
}

/** Fails for each finding of axe by the tags of WCAG 2.2 AA. */
export async function accessible(page, where) {
  await page.evaluate(axeSource)
  const found = await page.evaluate(
    (tags) => window.axe.run(document, { runOnly: { type: 'tag', values: tags } }),
    TAGS,
  )
  for (const v of found.violations) {
    const nodes = v.nodes.slice(0, 3).map((n) => `${n.target} ${n.any[0]?.message ?? n.html}`)
    fail(`${where}: axe ${v.id} (${v.nodes.length}): ${nodes.join('; ').slice(0, 700)}`)
  }
  return found.passes.length
}

/** No part of the page is wider than the screen. */
export async function fits(page, where) {
  const wide = await page.evaluate(() => {
    const root = document.documentElement
    return root.scrollWidth > root.clientWidth + 1 ? [root.scrollWidth, root.clientWidth] : null
  })
  check(wide === null, `${where}: ${wide?.[0]} px wide on ${wide?.[1]}`)
}

/** The addresses in the navigation, as one would click them: [{name, path}]. */
export async function pagesOf(page) {
  return page.locator('nav a[href]').evaluateAll((all) =>
    all.map((a) => ({ name: a.textContent.trim(), path: new URL(a.href).pathname })),
  )
}

// In the page: is there something that is no loading frame, and has been for three looks?
function rests() {
  const main = document.querySelector('main')
  const now =
    main !== null &&
    main.querySelector('h1, h2') !== null &&
    main.querySelector('[aria-busy=true], .mantine-Skeleton-root') === null &&
    main.innerText.trim().length > 20
  window.bpRests = now ? (window.bpRests ?? 0) + 1 : 0
  return window.bpRests >= 3
}

/** Waits until the page shows something that is neither loading nor an empty frame. */
export async function settled(page, where) {
  try {
    await page.evaluate(() => (window.bpRests = 0))
    await page.waitForFunction(rests, undefined, { timeout: 20_000, polling: 100 })
  } catch {
    const text = await page.locator('main').innerText().catch(() => '')
    fail(`${where}: it does not come to rest: ${text.slice(0, 200)}`)
  }
}

/** Every page of the navigation, clicked one after the other: see(path, where). */
export async function eachPage(page, what, see, before = async () => undefined) {
  const all = await pagesOf(page)
  check(all.length >= 7, `${what}: the navigation has ${all.length} pages`)
  for (const { name, path } of all) {
    await before()
    await page.locator('nav a', { hasText: new RegExp(`^${name}$`) }).click()
    await page.waitForURL((url) => url.pathname === path)
    await settled(page, `${path} ${what}`)
    await see(path, `${path} ${what}`, name)
  }
  return all
}

/** The address as a name of a file. */
export function slug(path) {
  return path.replace(/^\/|\/$/g, '').replaceAll('/', '-') || 'overview'
}

/** Opens the page of this address and waits for live values in it. */
export async function go(page, path = '') {
  const url = new URL(path, facts.url).href
  await page.goto(url)
  await settled(page, path || '/')
  return url
}

export async function done(browser, heard, where) {
  heard.verdict(where)
  say(`  ${where}: ${heard.loads} loads, ${heard.requests} requests, no other host`)
  await browser.close()
}
