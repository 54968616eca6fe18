// Below a path of somebody else's host: sign-in, every page, each by its address; nothing is asked for outside.
import { done, eachPage, go, launch, settled, shot, visit } from './lib/browser.mjs'
import { check, facts, main } from './lib/run.mjs'

await main(async () => {
  const browser = await launch()
  const { context, page, heard } = await visit(browser, {
    forgiven: [/status of 401/, /status of 404.*api\/v1\/devices$/, /WebSocket connection to .* failed/],
  })
  const prefix = new URL(facts.url).pathname
  const outside = []
  const look = (url) => {
    const { protocol, pathname } = new URL(url)
    if (/^(http|ws)s?:$/.test(protocol) && !pathname.startsWith(prefix)) outside.push(url)
  }
  context.on('request', (r) => look(r.url()))
  page.on('websocket', (ws) => look(ws.url()))
  await page.goto(facts.url)
  const dialog = page.getByRole('dialog', { name: 'Sign in' })
  await dialog.getByLabel('User').fill('anna')
  await dialog.locator('input[type=password]').fill(facts.password)
  await dialog.getByRole('button', { name: 'Sign in' }).click()
  await dialog.waitFor({ state: 'hidden' })
  await page.locator('header').getByText('Live', { exact: true }).waitFor()
  await settled(page, 'the first page')
  const [cookie] = await context.cookies()
  check(prefix.startsWith(cookie?.path ?? '?'), `the cookie is for ${cookie?.path}`)
  const all = await eachPage(page, 'behind a proxy', async (path, where) => {
    check(path.startsWith(prefix), `${where} is below ${prefix}`)
  })
  for (const { path } of all) {
    await go(page, path)
    check(new URL(page.url()).pathname === path, `${path}: one is at ${page.url()}`)
  }
  await shot(page, 'below-a-path')
  check(outside.length === 0, `asked for outside of ${prefix}: ${outside.slice(0, 5)}`)
  await done(browser, heard, `below ${prefix}`)
})
