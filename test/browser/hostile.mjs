// What came from outside is text, wherever it is shown: nothing of it is run, fetched or built into the page.
import { done, eachPage, go, launch, shot, slug, visit } from './lib/browser.mjs'
import { check, facts, main, until } from './lib/run.mjs'

// What the payloads would make of the page if one of them were taken for markup.
function built() {
  return [...document.querySelectorAll('img[src="x"], [onerror], [onload], [onclick], iframe, object')]
    .concat([...document.scripts].filter((s) => s.src === '' || /alert/.test(s.textContent ?? '')))
    .map((e) => e.outerHTML)
}

async function harmless(page, where) {
  const found = await page.evaluate(built)
  check(found.length === 0, `${where}: ${found}`)
  check((await page.title()).length < 60, `${where}: the title is ${await page.title()}`)
}

async function shown(page, text, where) {
  await until(async () => (await page.getByText(text).count()) > 0, `${where} shows ${text}`)
}

/** Each topic by its name, and the newest message in it. */
async function topics(page) {
  await page.getByRole('link', { name: 'Topics' }).click()
  await page.getByRole('table', { name: 'Topics' }).waitFor()
  for (const name of facts.names) await shown(page, name, 'the table of topics')
  await shot(page, 'topics')
  for (const name of facts.names) await drawer(page, name, () => true)
  const read = (text) => facts.payloads.some((p) => text.includes(p))
  for (const name of facts.words) await drawer(page, name, read)
}

async function drawer(page, name, good) {
  await page.getByRole('row').filter({ hasText: name }).first().click()
  const d = page.getByRole('dialog')
  await d.getByText('Newest message').waitFor()
  await until(async () => good(await d.innerText()), `the message of ${name}`)
  await harmless(page, `the drawer of ${name}`)
  await page.keyboard.press('Escape')
  await d.waitFor({ state: 'hidden' })
}

async function search(page) {
  for (const text of facts.payloads) {
    await page.getByLabel('Search').fill(text)
    await harmless(page, `searching for ${text}`)
  }
  await page.getByLabel('Search').fill('')
}

await main(async () => {
  const browser = await launch()
  const { page, heard } = await visit(browser)
  await go(page)
  const pages = []
  await eachPage(page, 'with hostile texts', async (path, where) => {
    pages.push(await page.locator('main').innerText())
    await harmless(page, where)
    await shot(page, slug(path))
    heard.verdict(where)
  })
  await topics(page)
  await search(page)
  if (facts.session) {
    await page.goto(new URL(`sessions/${facts.session}`, facts.url).href)
    await until(async () => (await page.locator('main').innerText()).length > 20, 'the page of a session')
    await harmless(page, 'the page of a session')
    await shot(page, 'session')
  }
  const seen = facts.payloads.filter((p) => pages.some((text) => text.includes(p)))
  check(seen.length > 0, 'some payload is read on some page')
  await page.goto(`${facts.url}topics?q=${encodeURIComponent(facts.payloads[0])}#<img src=x onerror=alert(1)>`)
  await page.getByRole('table', { name: 'Topics' }).waitFor()
  await harmless(page, 'in the address')
  await done(browser, heard, 'hostile texts')
})
