// Two thousand topics in one table: only what is seen is in the page, the last one is a scroll away.
import { accessible, done, go, launch, shot, visit } from './lib/browser.mjs'
import { check, facts, main, say, sleep, until } from './lib/run.mjs'

const ROW = '[role=table] .bp-tbody [role=row]'

async function scrolls(page) {
  const table = page.getByRole('table', { name: 'Topics' })
  const frames = await table.evaluate(async (el) => {
    let n = 0
    const start = performance.now()
    for (; performance.now() - start < 3000; n++) {
      el.scrollTop += 40
      await new Promise(requestAnimationFrame)
    }
    return n / 3
  })
  const rows = await page.locator(ROW).count()
  check(rows > 5 && rows < 80, `${rows} rows are in the page`)
  await table.evaluate((el) => (el.scrollTop = el.scrollHeight))
  const last = page.locator(`${ROW}[aria-rowindex="${facts.topics + 1}"]`)
  await last.waitFor()
  check(await last.isVisible(), 'the last row is seen')
  say(`  ${frames.toFixed(0)} frames a second while it scrolls, ${rows} rows in the page`)
}

async function finds(page) {
  await page.getByLabel('Search').fill(facts.last)
  await until(async () => (await page.locator(ROW).count()) < 12, 'few are found')
  check(await page.getByRole('row').filter({ hasText: facts.last }).first().isVisible(), facts.last)
  await page.getByLabel('Search').fill('')
  await until(async () => (await page.locator(ROW).count()) >= 12, 'all are shown again')
}

await main(async () => {
  const browser = await launch()
  const { page, heard } = await visit(browser)
  await go(page, 'topics')
  const table = page.getByRole('table', { name: 'Topics' })
  const shown = async () => Number(await table.getAttribute('aria-rowcount')) === facts.topics + 1
  await until(shown, `${facts.topics} topics`, 60_000)
  await scrolls(page)
  await accessible(page, 'many topics')
  await shot(page, 'topics')
  await finds(page)
  const nodes = await page.evaluate(() => document.querySelectorAll('*').length)
  await sleep(5000)
  const later = await page.evaluate(() => document.querySelectorAll('*').length)
  check(later < 3000 && later < nodes * 1.5 + 200, `${nodes} elements, then ${later}`)
  await done(browser, heard, `${facts.topics} topics`)
})
