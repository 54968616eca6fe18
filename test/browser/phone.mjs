// A phone of 390 pixels: nothing is wider than it, and one gets everywhere by the menu.
import { accessible, done, eachPage, fits, go, launch, shot, slug, visit } from './lib/browser.mjs'
import { check, main } from './lib/run.mjs'

const PHONE = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
}

await main(async () => {
  const browser = await launch()
  const { page, heard } = await visit(browser, PHONE)
  await go(page)
  await fits(page, 'the first page')
  const menu = page.getByRole('button', { name: 'Menu' })
  const open = async () => {
    await menu.click()
    await page.locator('nav a').first().waitFor()
  }
  await eachPage(
    page,
    'on a phone',
    async (path, where) => {
      const box = await page.locator('nav a').first().boundingBox()
      check(box === null || box.x + box.width <= 0, `${where}: the menu has closed`)
      await fits(page, where)
      await accessible(page, where)
      await shot(page, slug(path))
    },
    open,
  )
  await open()
  await page.locator('nav a').first().click()
  await page.locator('main').getByRole('button', { name: 'Mark' }).click()
  await page.getByRole('dialog').getByLabel('What happened').fill('seen on the way')
  await fits(page, 'a dialog on a phone')
  await shot(page, 'mark')
  await page.getByRole('dialog').getByRole('button', { name: 'Mark' }).click()
  await page.getByText('Mark set').waitFor()
  await done(browser, heard, 'a phone')
})
