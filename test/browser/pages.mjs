// Every page that the navigation has, in both themes: it fills with live values and does nothing bad.
import { accessible, done, eachPage, fits, go, launch, shot, slug, visit } from './lib/browser.mjs'
import { check, facts, main, say, sleep, until } from './lib/run.mjs'

/** What must be seen on a page besides its frame: a text that changes while one looks. */
const ticking = {
  '/': 'main .bp-num',
  '/topics': 'main [role=table] [role=cell]',
}

/** Makes a page as full as one that is in use. */
const filled = {
  '/live': async (page) => {
    const make = page.getByRole('button', { name: 'Make a view from the topics' })
    if ((await make.count()) > 0) await make.click()
    await page.locator('main canvas').first().waitFor()
    await sleep(2000)
  },
  '/alerts': (page) => page.locator('main').getByText(/disk/i).first().waitFor(),
  '/jobs': (page) => page.locator('main').getByText(/verify/i).first().waitFor(),
}

async function texts(page, selector) {
  return (await page.locator(selector).allInnerTexts()).join('|')
}

async function ticks(page, path) {
  const selector = ticking[path]
  if (!selector) return
  const before = await texts(page, selector)
  for (let i = 0; i < 50; i++) {
    await sleep(100)
    if ((await texts(page, selector)) !== before) return
  }
  check(false, `${path}: nothing ticks: ${before.slice(0, 200)}`)
}

async function walk(browser, scheme) {
  const { page, heard } = await visit(browser, { colorScheme: scheme })
  await go(page)
  const all = await eachPage(page, scheme, async (path, where, name) => {
    await filled[path]?.(page)
    await ticks(page, path)
    const title = await page.title()
    check(title.startsWith(name), `${where}: the title is ${title}`)
    await shot(page, `${slug(path)}-${scheme}`)
    const passed = await accessible(page, where)
    check(passed > 10, `${where}: axe looked at ${passed} rules`)
    await fits(page, where)
    heard.verdict(where)
  })
  await page.context().close()
  return { all, heard }
}

/** What a browser fetches until the first page shows live values, gzipped as the agent sends it. */
async function firstLoad(browser) {
  const { page, context, heard } = await visit(browser)
  await go(page)
  await page.locator('main canvas').first().waitFor()
  const urls = await page.evaluate(() =>
    [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
      .map((e) => e.name)
      .filter((name) => !name.includes('/api/')),
  )
  let sum = 0
  for (const url of new Set(urls)) {
    const res = await context.request.get(url, { headers: { 'Accept-Encoding': 'gzip' } })
    const sizes = await res.headersArray()
    const length = sizes.find((h) => h.name.toLowerCase() === 'content-length')
    check(length !== undefined, `${url} has no length`)
    sum += Number(length?.value ?? 0)
  }
  check(urls.length > 5 && sum > 100_000 && sum < 400_000, `the first load: ${urls.length} files, ${sum} bytes`)
  say(`  first load: ${urls.length} files, ${(sum / 1000).toFixed(1)} kB gzip`)
  await context.close()
  heard.verdict('the first load')
}

async function deep(browser, all) {
  const { page, heard } = await visit(browser)
  for (const { path } of all) {
    await go(page, path.slice(1))
    check(new URL(page.url()).pathname === path, `${path}: opened, one is at ${page.url()}`)
    heard.verdict(`${path} opened by its address`)
  }
  await page.goto(new URL('no-such-page', facts.url).href)
  await page.getByText('There is no such page').waitFor()
  await shot(page, 'no-such-page')
  return heard
}

/** The counter-proof: what must not be is heard when it is. */
async function ears(browser) {
  const { page, context, heard } = await visit(browser)
  await go(page)
  await page.evaluate(() => {
    document.head.append(Object.assign(document.createElement('style'), { textContent: 'p {}' }))
    console.error('made')
    setTimeout(() => {
      throw new Error('made')
    })
  })
  await page.goto('http://192.0.2.1/?token=x').catch(() => undefined)
  const kinds = ['csp', 'console', 'exception', 'request: to', 'request: a secret']
  const deaf = () => kinds.filter((k) => !heard.faults.some((f) => f.startsWith(k)))
  await until(() => deaf().length === 0, 'everything is heard', 5000)
  check(deaf().length === 0, `not heard: ${deaf()}`)
  await context.close()
}

await main(async () => {
  const browser = await launch()
  await ears(browser)
  await firstLoad(browser)
  const { all, heard } = await walk(browser, 'light')
  await walk(browser, 'dark')
  const last = await deep(browser, all)
  heard.requests += last.requests
  heard.loads += last.loads
  say(`  ${all.map((p) => p.path).join(' ')}`)
  await done(browser, heard, 'all pages')
})
