// A server that has a robot and what it recorded: every page, and commands through the server to the robot.
import { accessible, done, eachPage, go, launch, shot, slug, visit } from './lib/browser.mjs'
import { api, check, facts, main, until } from './lib/run.mjs'

async function choose(page) {
  await page.getByRole('textbox', { name: 'Robot' }).or(page.getByRole('combobox', { name: 'Robot' })).first().click()
  await page.getByRole('option').first().click()
}

async function record(page) {
  await page.getByRole('link', { name: 'Overview' }).click()
  await page.locator('body').press('r')
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name').fill('from-afar')
  await dialog.getByRole('button', { name: 'Start recording' }).click()
  await dialog.waitFor({ state: 'hidden' })
  const one = async () => (await api('api/v1/sessions/from-afar', { base: facts.agent })).body
  await until(async () => (await one()).status === 'recording', 'the robot records')
  const stop = page.locator('main').getByRole('button', { name: 'Stop recording' }).first()
  const known = async () => (await stop.getAttribute('aria-disabled')) === 'false'
  await until(known, 'the server has heard that it records')
  await shot(page, 'recording')
  await page.locator('body').press('Shift+S')
  await page.getByRole('dialog').getByRole('button', { name: 'Stop recording' }).click()
  await until(async () => (await one()).status === 'finished', 'the robot has stopped')
}

await main(async () => {
  const browser = await launch()
  const { page, heard } = await visit(browser)
  await go(page)
  const text = await page.locator('main').innerText()
  check(/Online/.test(text), `a robot that is there: ${text.slice(0, 300)}`)
  await accessible(page, 'a server without a chosen robot')
  await shot(page, 'no-robot-chosen')
  await choose(page)
  await eachPage(page, 'of a server', async (path, where) => {
    await accessible(page, where)
    await shot(page, slug(path))
    heard.verdict(where)
  })
  await page.getByRole('link', { name: 'Topics' }).click()
  await page.getByRole('row').filter({ hasText: '/robot1/imu' }).waitFor()
  await record(page)
  await done(browser, heard, 'a server')
})
