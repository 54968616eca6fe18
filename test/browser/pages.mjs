// Every page that the navigation has, in both themes: it fills with live values and does nothing bad.
import { accessible, done, eachPage, fits, go, launch, shot, slug, visit } from './lib/browser.mjs'
import { check, facts, main, say, sleep } from './lib/run.mjs'

/** What must be seen on a page besides its frame: a text that changes while one looks. */
const ticking = {
  '/': 'main .bp-num',
  '/topics': 'main [role=table] [role=cell]',
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

await main(async () => {
  const browser = await launch()
  const { all, heard } = await walk(browser, 'light')
  await walk(browser, 'dark')
  const last = await deep(browser, all)
  heard.requests += last.requests
  heard.loads += last.loads
  say(`  ${all.map((p) => p.path).join(' ')}`)
  await done(browser, heard, 'all pages')
})
