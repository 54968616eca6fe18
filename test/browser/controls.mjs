// What an operator presses, and what the agent says about it: recording, marks, topics, the look.
import { accessible, done, go, launch, shot, visit } from './lib/browser.mjs'
import { api, check, main, sleep, until } from './lib/run.mjs'

async function status() {
  return (await api('api/v1/status')).body
}

async function session(name) {
  return (await api(`api/v1/sessions/${name}`)).body
}

function button(page, name) {
  return page.locator('main').getByRole('button', { name, exact: true }).first()
}

/** Presses it in the dialog that is open and waits until that has gone. */
async function confirm(page, name) {
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name, exact: true }).click()
  await dialog.waitFor({ state: 'hidden' })
}

async function state(page, word) {
  await page.locator('main .bp-big', { hasText: word }).waitFor()
}

/** A button that cannot be pressed says why, to everybody. */
async function refused(page, name, why) {
  const b = button(page, name)
  check((await b.getAttribute('aria-disabled')) === 'true', `${name} can be pressed`)
  await b.hover()
  await page.getByRole('tooltip', { name: why }).waitFor()
  await b.click({ force: true })
  await b.press('Enter')
  check((await page.getByRole('dialog').count()) === 0, `${name} opens something`)
  await b.blur()
}

async function start(page) {
  await state(page, 'Not recording')
  await refused(page, 'Stop recording', 'Nothing is being recorded')
  await button(page, 'Start recording').click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name').fill('by-hand')
  await dialog.getByLabel('Mission').fill('aisle 7')
  await dialog.getByLabel('Topics').fill('/robot1/*')
  await dialog.getByLabel('Topics').press('Enter')
  await dialog.getByLabel('Tags').fill('night')
  await dialog.getByLabel('Tags').press('Enter')
  await accessible(page, 'the dialog of a start')
  await shot(page, 'start')
  await confirm(page, 'Start recording')
  await state(page, 'Recording')
  const s = await session('by-hand')
  check(s.mission === 'aisle 7' && s.tags?.includes('night'), `as told: ${JSON.stringify(s).slice(0, 400)}`)
  check((await status()).sessions.running === 1, 'one runs')
}

async function pauseAndResume(page) {
  await refused(page, 'Resume', 'Not paused')
  await button(page, 'Pause').click()
  await page.getByRole('dialog').getByText('left out and counted').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  check((await status()).state === 'recording', 'cancelled: it goes on')
  await button(page, 'Pause').click()
  await confirm(page, 'Pause')
  await state(page, 'Paused')
  check((await status()).state === 'paused', 'the agent has paused')
  await refused(page, 'Pause', 'Already paused')
  await shot(page, 'paused')
  await button(page, 'Resume').click()
  await state(page, 'Recording')
  check((await status()).state === 'recording', 'the agent goes on')
}

async function markAndSplit(page) {
  await page.locator('body').press('m') // by its key
  await page.getByRole('dialog').getByLabel('What happened').fill('hit the shelf')
  await confirm(page, 'Mark')
  const marked = async () =>
    ((await session('by-hand')).marks ?? []).some((m) => m.text === 'hit the shelf')
  await until(marked, 'the mark is in the session')
  const count = async () => (await api('api/v1/sessions/by-hand/segments')).body.segments.length
  const before = await count()
  await button(page, 'New segment').click()
  await until(async () => (await count()) > before, 'one more segment')
}

async function palette(page) {
  await page.locator('body').press('Control+k')
  const dialog = page.getByRole('dialog')
  await accessible(page, 'the palette')
  await shot(page, 'palette')
  await dialog.getByRole('combobox').fill('topics')
  await dialog.getByRole('combobox').press('Enter')
  await page.waitForURL((url) => url.pathname.endsWith('/topics'))
}

async function names(page) {
  return page.locator('[role=table] .bp-tbody [role=row] [role=cell]:first-child').allInnerTexts()
}

async function topics(page) {
  await page.getByRole('table', { name: 'Topics' }).waitFor()
  await page.getByLabel('Search').fill('imu')
  await until(async () => (await names(page)).join() === '/robot1/imu,/robot2/imu', 'two are found')
  await page.getByLabel('Search').fill('no such topic')
  await page.getByText('No topic fits').waitFor()
  await shot(page, 'no-topic-fits')
  await page.getByLabel('Search').fill('')
  await page.getByRole('table', { name: 'Topics' }).waitFor()
  await page.getByRole('columnheader', { name: 'Hz' }).getByRole('button').click()
  await page.getByRole('columnheader', { name: 'Hz' }).getByRole('button').click()
  await until(async () => /imu$/.test((await names(page))[0] ?? ''), 'the quickest is first')
  await page.getByRole('columnheader', { name: 'Topic' }).getByRole('button').click()
  const sorted = [...(await names(page))].sort()
  await until(async () => (await names(page)).join() === sorted.join(), 'sorted by name')
  await recorded(page)
}

/** The session takes what it was told to, and the page says so of each topic. */
async function recorded(page) {
  const row = (name) => page.getByRole('row').filter({ hasText: name }).first()
  check(/Recorded/.test(await row('/robot1/imu').innerText()), '/robot1/imu is recorded')
  check(/Not recorded/.test(await row('/robot2/imu').innerText()), '/robot2/imu is not')
}

async function drawer(page) {
  await page.getByRole('row').filter({ hasText: '/robot1/odom' }).first().click()
  const d = page.getByRole('dialog')
  await d.getByText('child_frame_id').first().waitFor()
  await d.getByRole('button', { name: /position/ }).first().click()
  await d.getByRole('button', { name: /Plot .*position\.x/ }).first().click()
  await d.locator('canvas').first().waitFor()
  await sleep(1500)
  await accessible(page, 'the drawer of a topic')
  await shot(page, 'topic')
  await page.keyboard.press('Escape')
  await d.waitFor({ state: 'hidden' })
}

async function stop(page) {
  await page.getByRole('link', { name: 'Overview' }).click()
  await button(page, 'Stop recording').click()
  await page.getByRole('dialog').getByText('finished').waitFor()
  await confirm(page, 'Stop recording')
  await state(page, 'Not recording')
  const s = await session('by-hand')
  check(s.status === 'finished', `it is finished: ${s.status}`)
  check((await status()).sessions.running === 0, 'none runs')
}

async function look(page) {
  const menu = page.getByRole('button', { name: /Appearance/ })
  await menu.click()
  await page.getByRole('menuitem', { name: 'Deutsch' }).click()
  await page.getByRole('heading', { name: 'Übersicht' }).waitFor()
  check((await page.locator('html').getAttribute('lang')) === 'de', 'the page says that it is German')
  await page.getByRole('button', { name: /Darstellung|Aussehen/ }).click()
  await page.getByRole('menuitem', { name: 'Dunkel' }).click()
  await page.reload()
  await page.getByRole('heading', { name: 'Übersicht' }).waitFor()
  const scheme = await page.locator('html').getAttribute('data-mantine-color-scheme')
  check(scheme === 'dark', `dark after a reload: ${scheme}`)
  await shot(page, 'german')
}

await main(async () => {
  const browser = await launch()
  const { page, heard } = await visit(browser)
  await go(page)
  await start(page)
  await pauseAndResume(page)
  await markAndSplit(page)
  await palette(page)
  await topics(page)
  await drawer(page)
  await stop(page)
  await look(page)
  await done(browser, heard, 'controls')
})
