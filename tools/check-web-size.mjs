// What a browser loads before it shows the first page, gzipped, stays below a budget: check-web-size.mjs DIST
import { readdirSync, readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { gzipSync } from 'node:zlib'

const BUDGET = 330_000
const FIRST_PAGE = /^OverviewPage-.*\.js$/
const WORKER = /^events\.worker-.*\.js$/

const dist = process.argv[2]
const assets = readdirSync(join(dist, 'assets'))
const seen = new Map()

/** Counts a file and all that it imports at once; what it imports later is not the first load. */
function take(path) {
    if (seen.has(path)) return
    const bytes = readFileSync(join(dist, path))
    seen.set(path, gzipSync(bytes, { level: 9 }).length)
    if (!path.endsWith('.js')) return
    const text = bytes.toString()
    for (const [, name] of text.matchAll(/(?:\bfrom|\bimport)\s*["'](\.[^"']+)["']/g))
        take(normalize(join(path, '..', name)))
}

const page = readFileSync(join(dist, 'index.html'), 'utf8')
take('index.html')
for (const [, path] of page.matchAll(/(?:src|href)="(\.?\/?[^"]+\.(?:js|css|svg))"/g)) take(normalize(path))
for (const name of assets.filter((a) => FIRST_PAGE.test(a) || WORKER.test(a))) take(`assets/${name}`)

if (![...seen.keys()].some((p) => FIRST_PAGE.test(p.slice('assets/'.length)))) {
    console.log('the first page has no file of its own: what is the first load now?')
    process.exit(1)
}
const sum = [...seen.values()].reduce((a, b) => a + b, 0)
for (const [path, size] of [...seen].sort((a, b) => b[1] - a[1])) console.log(`${String(size).padStart(8)}  ${path}`)
console.log(`${String(sum).padStart(8)}  first load, gzip (at most ${BUDGET})`)
process.exit(sum > BUDGET ? 1 : 0)
