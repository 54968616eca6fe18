// Signing in over an address of the network (no secure context there), the three roles, a login that ends
// while one works, and what a page of somebody else can do: nothing.
import { createServer } from 'node:http'

import { accessible, done, eachPage, launch, settled, shot, slug, visit } from './lib/browser.mjs'
import { api, check, facts, main, say, until } from './lib/run.mjs'

// What Chromium calls an error and is none: answers to somebody who has not signed in yet (an agent is told
// from a server by the one having no devices), and a header that counts on HTTPS only.
const REFUSED = [
  /status of 40[13]/,
  /status of 404.*api\/v1\/devices$/,
  /WebSocket connection to .* failed/,
  /Cross-Origin-Opener-Policy header has been ignored/,
]

async function signIn(page, user, password) {
  const dialog = page.getByRole('dialog', { name: 'Sign in' })
  await dialog.getByText('Password', { exact: true }).first().click()
  await dialog.getByLabel('User').fill(user)
  await dialog.locator('input[type=password]').fill(password)
  await dialog.getByRole('button', { name: 'Sign in' }).click()
  return dialog
}

async function enter(page, user) {
  const dialog = await signIn(page, user, facts.password)
  await dialog.waitFor({ state: 'hidden' })
}

async function live(page) {
  await page.locator('header').getByText('Live', { exact: true }).waitFor()
}

async function signOut(page) {
  await page.getByRole('button', { name: 'User', exact: true }).click()
  await page.getByRole('menuitem', { name: 'Sign out' }).click()
  await page.getByRole('dialog', { name: 'Sign in' }).waitFor()
}

async function wrong(page) {
  await page.goto(facts.url)
  const dialog = page.getByRole('dialog', { name: 'Sign in' })
  await dialog.waitFor()
  check(!(await page.evaluate(() => isSecureContext)), 'this address is no secure context')
  await page.locator('header').getByText('Not signed in').waitFor()
  check((await page.getByText('No connection').count()) === 0, 'no talk of a lost line')
  await accessible(page, 'sign-in')
  await shot(page, 'sign-in')
  await signIn(page, 'vera', 'not her password')
  await dialog.getByRole('alert').waitFor()
  await shot(page, 'wrong-password')
  check((await page.locator('main').innerText()).indexOf('/robot1') < 0, 'nothing is shown before')
  const status = (await api('api/v1/status', { token: 'bp_wrong' })).status
  check(status === 401, `a wrong token: ${status}`)
}

/** A token instead of user and password: for a screen on the wall. */
async function byToken(page) {
  const dialog = page.getByRole('dialog', { name: 'Sign in' })
  await dialog.getByText('Token', { exact: true }).click()
  await dialog.locator('input[type=password]').fill('bp_wrong')
  await dialog.getByRole('button', { name: 'Sign in' }).click()
  await dialog.getByRole('alert').waitFor()
  await accessible(page, 'sign-in by a token')
  await shot(page, 'wrong-token')
  await dialog.locator('input[type=password]').fill(facts.token)
  await dialog.getByRole('button', { name: 'Sign in' }).click()
  await dialog.waitFor({ state: 'hidden' })
  await live(page)
  check(!page.url().includes(facts.token), 'the token is not in the address')
  const seen = await page.evaluate(() => JSON.stringify({ ...localStorage }) + document.cookie)
  check(!seen.includes(facts.token), 'scripts do not see the token')
  await signOut(page)
}

async function viewer(page) {
  await enter(page, 'vera')
  await live(page)
  await page.locator('main .bp-big').waitFor()
  const start = page.locator('main').getByRole('button', { name: 'Start recording' }).first()
  check((await start.getAttribute('aria-disabled')) === 'true', 'a viewer cannot start')
  await start.hover()
  await page.getByRole('tooltip', { name: 'Needs the role operator' }).waitFor()
  await shot(page, 'viewer')
  await page.locator('body').press('r')
  check((await page.getByRole('dialog').count()) === 0, 'nor by the key')
  await eachPage(page, 'of a viewer', (path) => shot(page, `viewer-${slug(path)}`))
}

async function cookie(context, page) {
  const all = await context.cookies()
  check(all.length === 1, `one cookie: ${all.map((c) => c.name)}`)
  check(all[0]?.httpOnly && all[0]?.sameSite === 'Strict', `${JSON.stringify({ ...all[0], value: '' })}`)
  const seen = await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage }))
  check(!seen.includes(all[0]?.value ?? '?') && !seen.includes(facts.password), 'scripts see no secret')
}

/** The login ends while somebody works; he signs in again and goes on where he was. */
async function ends(page, stop, go_on) {
  await page.getByRole('link', { name: 'Topics' }).click()
  await page.getByLabel('Search').fill('odom')
  await page.getByRole('row').filter({ hasText: '/robot1/odom' }).waitFor()
  await stop()
  const dialog = page.getByRole('dialog', { name: 'Sign in' })
  await dialog.waitFor()
  check((await page.getByLabel('Search').inputValue()) === 'odom', 'the view stays')
  await shot(page, 'login-has-ended')
  await go_on()
  await enter(page, 'otto')
  await live(page)
  check((await page.getByLabel('Search').inputValue()) === 'odom', 'and is there afterwards')
}

async function operator(page) {
  await page.getByRole('link', { name: 'Overview' }).click()
  const start = page.locator('main').getByRole('button', { name: 'Start recording' }).first()
  await until(async () => (await start.getAttribute('aria-disabled')) === 'false', 'an operator can start')
}

async function admin(page) {
  await page.getByRole('link', { name: 'Settings' }).click()
  await settled(page, 'settings of an admin')
  for (const tab of await page.getByRole('tab').all()) {
    await tab.click()
    await settled(page, `settings: ${await tab.innerText()}`)
    await accessible(page, `settings: ${await tab.innerText()}`)
    await shot(page, `admin-${(await tab.innerText()).toLowerCase().replaceAll(/\W+/g, '-')}`)
  }
}

// In a page of another origin of the same site: the cookie goes along, so Origin alone must save us.
async function attack(target) {
  const post = await fetch(`${target}api/v1/sessions`, {
    method: 'POST',
    credentials: 'include',
    mode: 'no-cors',
    body: '{"name": "stolen"}',
  }).then(
    (r) => `answered, ${r.type}`,
    (e) => String(e),
  )
  const read = await fetch(`${target}api/v1/status`, { credentials: 'include' }).then(
    (r) => r.text(),
    () => 'refused',
  )
  const socket = await new Promise((end) => {
    const ws = new WebSocket(`${target.replace('http', 'ws')}api/v1/events`)
    ws.onopen = () => end('open')
    ws.onerror = () => end('refused')
  })
  return { post, read, socket }
}

async function foreign(context, heard) {
  const host = new URL(facts.url).hostname
  const evil = createServer((_, res) => res.setHeader('Content-Type', 'text/html').end('<h1>win a prize</h1>'))
  await new Promise((up) => evil.listen(0, host, up))
  heard.hosts.add(`${host}:${evil.address().port}`)
  const page = await context.newPage()
  const forget = heard.forgive(/.*/)
  await page.goto(`http://${host}:${evil.address().port}/`)
  const got = await page.evaluate(attack, facts.url)
  check(got.socket === 'refused', `a WebSocket of another origin: ${got.socket}`)
  check(got.read === 'refused', `another origin reads ${got.read.slice(0, 80)}`)
  const list = (await api('api/v1/sessions', { token: facts.token })).body
  check(!JSON.stringify(list).includes('stolen'), `another origin starts a session: ${got.post}`)
  await page.setContent(`<iframe src="${facts.url}"></iframe>`)
  const framed = await page.frames()[1]?.evaluate(() => document.body.innerText).catch(() => '')
  check(!framed?.includes('bagpipe'), `it can be framed: ${framed}`)
  await page.close()
  forget()
  evil.close()
}

await main(async () => {
  const browser = await launch()
  const { context, page, heard } = await visit(browser, { forgiven: REFUSED })
  const act = async (method, path, body) => {
    const { status } = await api(path, { method, body, token: facts.token })
    check(status < 300, `${method} ${path}: ${status}`)
  }
  await wrong(page)
  await byToken(page)
  await viewer(page)
  await cookie(context, page)
  await signOut(page)
  await enter(page, 'otto')
  await ends(
    page,
    () => act('PATCH', 'api/v1/users/otto', { disabled: true }),
    () => act('PATCH', 'api/v1/users/otto', { disabled: false }),
  )
  await operator(page)
  await foreign(context, heard)
  await signOut(page)
  await enter(page, 'anna')
  await admin(page)
  say(`  ${page.url()}`)
  await done(browser, heard, 'roles')
})
