// A plugin of vite: what others wrote and this bundle holds, with its licences, as licenses.txt of the app.
// Packages that only build or test are not in it; a package without a licence we may ship ends the build.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const allowed = [
  'MIT',
  'ISC',
  '0BSD',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'Apache-2.0',
  'Unlicense',
  'CC0-1.0',
  'Zlib',
]

const mit = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`

/** The folder of the package that a module belongs to, or undefined for our own. */
export function packageOf(id) {
  const path = id.replace(/^\0/, '').replace(/\?.*$/, '')
  const at = path.lastIndexOf('/node_modules/')
  if (at < 0) return undefined
  const [scope, name] = path.slice(at + '/node_modules/'.length).split('/')
  if (!scope) return undefined
  return join(
    path.slice(0, at),
    'node_modules',
    scope.startsWith('@') ? join(scope, name ?? '') : scope,
  )
}

/** May code under this SPDX expression be shipped? Of alternatives one is enough. */
export function mayShip(expression) {
  const words = expression.replace(/[()]/g, ' ').trim().split(/\s+/)
  const either = words.join(' ').split(/ OR /i)
  return either.some((part) => part.split(/ AND /i).every((word) => allowed.includes(word.trim())))
}

function textOf(folder, about) {
  const file = readdirSync(folder).find((name) => /^(licen[cs]e|copying|unlicense)/i.test(name))
  if (file) return readFileSync(join(folder, file), 'utf8').replace(/\r/g, '').trim()
  const author = typeof about.author === 'object' ? about.author.name : about.author
  if (about.license !== 'MIT')
    throw new Error(`${about.name}: a package without the text of its licence`)
  return `Copyright (c) ${(author ?? `the authors of ${about.name}`).replace(/ <.*/, '')}\n\n${mit}`
}

function entry(folder) {
  const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  if (typeof about.license !== 'string' || !mayShip(about.license))
    throw new Error(`${about.name}: licence '${about.license}' is not among those we ship`)
  return {
    name: about.name,
    version: about.version,
    licence: about.license,
    text: textOf(folder, about),
  }
}

/** Packages by name, those with one text together. */
export function page(entries) {
  const byText = new Map()
  for (const e of [...entries].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)))
    byText.set(e.text, [...(byText.get(e.text) ?? []), e])
  const parts = [...byText].map(
    ([text, of]) =>
      `${of.map((e) => `${e.name} ${e.version} (${e.licence})`).join('\n')}\n\n${text}\n`,
  )
  return `bagpipe's dashboard is under the MIT licence. It contains what follows.\n\n${parts.join(`\n${'-'.repeat(80)}\n\n`)}`
}

/** Two plugins that know of each other: one for the app, one for each worker. */
export function licences() {
  const folders = new Set()
  function collect(bundle) {
    for (const chunk of Object.values(bundle))
      for (const [id, module] of Object.entries(chunk.modules ?? {})) {
        const folder = packageOf(id)
        const there = module.renderedLength > 0 || /\.css(\?|$)/.test(id)
        if (folder && there && existsSync(join(folder, 'package.json'))) folders.add(folder)
      }
  }
  return {
    worker: () => [{ name: 'licences-worker', generateBundle: (_, bundle) => collect(bundle) }],
    app: {
      name: 'licences',
      apply: 'build',
      generateBundle(_, bundle) {
        collect(bundle)
        const byName = new Map([...folders].map(entry).map((e) => [`${e.name} ${e.version}`, e]))
        this.emitFile({ type: 'asset', fileName: 'licenses.txt', source: page(byName.values()) })
      },
    },
  }
}
