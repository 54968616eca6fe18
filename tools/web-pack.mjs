// Packs web/dist for the program: one blob, a table of what lies where in it, and a depfile.
// web-pack.mjs WEB OUT
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const [web, out] = process.argv.slice(2)
const types = {
    '.css': 'text/css; charset=utf-8',
    '.html': 'text/html; charset=utf-8',
    '.ico': 'image/x-icon',
    '.js': 'text/javascript; charset=utf-8',
    '.json': 'application/json',
    '.map': 'application/json',
    '.png': 'image/png',
    '.svg': 'image/svg+xml',
    '.txt': 'text/plain; charset=utf-8',
    '.wasm': 'application/wasm',
    '.webmanifest': 'application/manifest+json',
    '.woff2': 'font/woff2',
}

/** Every file and folder below one, by path from it; folders end in a slash. */
function* walk(top, below = '') {
    for (const e of readdirSync(join(top, below), { withFileTypes: true })) {
        const path = below + e.name
        if (e.isDirectory()) {
            if (e.name === 'node_modules' || path === 'dist') continue
            yield `${path}/`
            yield* walk(top, `${path}/`)
        } else yield path
    }
}

const parts = []
let at = 0
function place(bytes) {
    parts.push(bytes)
    at += bytes.length
    return `{ ${at - bytes.length}, ${bytes.length} }`
}

const brotli = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }
const rows = []
const dist = join(web, 'dist')
const paths = [...walk(dist)].filter((p) => !p.endsWith('/') && p !== 'config.json') // the program writes that one
for (const path of paths.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
    const bytes = readFileSync(join(dist, path))
    const type = types[extname(path)]
    if (!type) throw new Error(`tools/web-pack.mjs knows no media type for ${path}`)
    if (!/^[\w./-]+$/.test(path)) throw new Error(`an odd name: ${path}`)
    const gz = gzipSync(bytes, { level: 9 })
    const br = brotliCompressSync(bytes, brotli)
    const worth = path !== 'index.html' && gz.length < bytes.length * 0.95 && br.length < bytes.length
    const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
    const places = [place(bytes), worth ? place(gz) : '{ 0, 0 }', worth ? place(br) : '{ 0, 0 }']
    rows.push(`    { "${path}", "${type}", "\\"${hash}\\"",\n      { ${places.join(', ')} } },`)
}
if (!paths.includes('index.html')) throw new Error(`${dist} has no index.html`)

writeFileSync(join(out, 'web.blob'), Buffer.concat(parts))
writeFileSync(
    join(out, 'web-blob.S'),
    `    .section .rodata\n    .global bp_web_blob\nbp_web_blob:\n    .incbin "${join(out, 'web.blob')}"\n` +
        `    .byte 0\n    .section .note.GNU-stack, "", %progbits\n`,
)
writeFileSync(
    join(out, 'web-assets.c'),
    `/* Made by tools/web-pack.mjs. ${basename(dist)} holds ${at} bytes with its encodings. */\n#include "web/assets.h"\n\n` +
        `const struct bp_web_asset bp_web_assets[] = {\n${rows.join('\n')}\n};\n` +
        `const size_t bp_web_assets_count = sizeof bp_web_assets / sizeof bp_web_assets[0];\n`,
)

// a folder stands for files that come and go in it
const sources = ['', ...[...walk(web)].filter((p) => !p.startsWith('dist/'))].map((p) => join(web, p).replace(/\/$/, ''))
writeFileSync(
    join(out, 'web-assets.d'),
    `src/web/web-assets.c: ${sources.map((p) => p.replace(/[ $#]/g, '\\$&')).join(' \\\n  ')}\n`,
)
