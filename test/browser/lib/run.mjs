// What every browser test needs from the one that started it: test/system/lib/browser.py runs
// `node NAME.mjs FACTS` with FACTS a JSON object (the address, where pictures go, …). Lines "FAIL …" are
// failures, "ASK …" is a wish (end the agent, send a message) that is answered by one line of JSON.
import { createInterface } from 'node:readline'

export const facts = JSON.parse(process.argv[2] ?? '{}')

let failures = 0

export function say(text) {
  process.stdout.write(`${text}\n`)
}

/** Notes a failure and goes on, so that one run shows all of them. */
export function fail(text) {
  failures++
  say(`FAIL ${String(text).replaceAll('\n', ' | ').slice(0, 1500)}`)
}

/** How many failures there were so far. */
export function failed() {
  return failures
}

export function check(ok, text) {
  if (!ok) fail(text)
  return Boolean(ok)
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

/** Has the one that started us do something to the machine; resolves to what it answers. */
export async function ask(what, ...args) {
  say(`ASK ${JSON.stringify([what, ...args])}`)
  const { value, done } = await lines.next()
  if (done) throw new Error(`nobody answers to ${what}`)
  return JSON.parse(value)
}

export function sleep(ms) {
  return new Promise((done) => setTimeout(done, ms))
}

/** Waits for fn() to be true and resolves to what it gave; late is a failure, resolved as undefined. */
export async function until(fn, what, ms = 15_000) {
  const end = Date.now() + ms
  for (;;) {
    const got = await fn()
    if (got) return got
    if (Date.now() > end) {
      fail(`not within ${ms / 1000} s: ${what}`)
      return undefined
    }
    await sleep(100)
  }
}

/** GET, or with a body POST; resolves to {status, body}. Not through the browser: the API's own word. */
export async function api(path, { method, body, token, base = facts.url } = {}) {
  const res = await fetch(new URL(path, base), {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await res.text()
  try {
    return { status: res.status, body: JSON.parse(text) }
  } catch {
    return { status: res.status, body: text }
  }
}

/** What is to be done when the test breaks off, to show where it was. */
export const atBreak = []

/** Runs the test and leaves with its verdict. */
export async function main(test) {
  try {
    await test()
  } catch (error) {
    fail(error?.stack ?? error)
    for (const f of atBreak) await f().catch(() => undefined)
  }
  process.exit(failures > 0 ? 1 : 0)
}
