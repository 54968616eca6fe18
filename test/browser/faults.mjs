// Nothing there yet; an agent that is killed and comes back: the page says so and goes on by itself.
import { accessible, done, eachPage, go, launch, shot, slug, visit } from './lib/browser.mjs'
import { ask, check, main, sleep, until } from './lib/run.mjs'

const GONE = [/ERR_CONNECTION_REFUSED/, /WebSocket connection to .* failed/, /ERR_CONNECTION_RESET/, /ERR_EMPTY_RESPONSE/]

async function empty(page) {
  await eachPage(page, 'with nothing there', async (path, where) => {
    await accessible(page, where)
    await shot(page, `empty-${slug(path)}`)
  })
  await page.getByRole('link', { name: 'Topics' }).click()
  await page.getByText('No topics in the graph').waitFor()
}

async function appear(page) {
  await ask('sim')
  await page.getByRole('row').filter({ hasText: '/robot1/imu' }).waitFor()
  await page.getByRole('link', { name: 'Overview' }).click()
  await page.locator('main .bp-big').waitFor()
}

async function lost(page) {
  await page.evaluate(() => (window.bpSame = true))
  await ask('kill')
  await page.getByText('No connection', { exact: true }).first().waitFor()
  await page.locator('header').getByText('Offline').waitFor()
  await page.locator('main .bp-stale').first().waitFor()
  const start = page.locator('main').getByRole('button', { name: 'Start recording' }).first()
  await until(async () => (await start.getAttribute('aria-disabled')) === 'true', 'no command can be given')
  await accessible(page, 'offline')
  await shot(page, 'offline')
  // A page that was not looked at before cannot be fetched now: it says so, and nothing is blank.
  await page.getByRole('link', { name: 'Settings' }).click()
  await sleep(2000)
  const text = await page.locator('main').innerText()
  check(text.length > 40, `a page while offline: ${text}`)
  await shot(page, 'offline-settings')
  await page.getByRole('link', { name: 'Overview' }).click()
}

async function back(page) {
  await ask('start')
  await page.locator('header').getByText('Live', { exact: true }).waitFor({ timeout: 45_000 })
  await until(async () => (await page.locator('main .bp-stale').count()) === 0, 'nothing is stale')
  check((await page.getByText('No connection', { exact: true }).count()) === 0, 'the banner has gone')
  check(await page.evaluate(() => window.bpSame === true), 'it was not loaded anew')
  await page.getByRole('link', { name: 'Topics' }).click()
  await page.getByRole('row').filter({ hasText: '/robot1/imu' }).waitFor()
  await shot(page, 'back')
}

await main(async () => {
  const browser = await launch()
  const { page, heard } = await visit(browser, { forgiven: GONE })
  await go(page)
  await empty(page)
  await appear(page)
  await lost(page)
  await back(page)
  await done(browser, heard, 'an agent that is killed')
})
