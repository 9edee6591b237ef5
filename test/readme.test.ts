/** Every code block of the README and of docs/ runs as it stands. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { databaseUrl, withoutDatabase } from './postgres/server.ts'

const root = join(import.meta.dirname, '..')
// Inside the package, so that it can be imported by its own name.
const folder = mkdtempSync(join(root, 'test', 'snippets-'))
after(() => rmSync(folder, { recursive: true }))
// As it lies in the folder of a clone, where a reader is.
symlinkSync(join(root, 'data'), join(folder, 'data'))

const documents = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
]

const runners: Record<string, (code: string, name: string) => string> = {
  ts(code, name) {
    writeFileSync(join(folder, `${name}.ts`), code)
    return run(process.execPath, ['-C', '@agent-store/source', `${name}.ts`])
  },
  sh(code) {
    const main = join(root, 'src', 'cli', 'main.ts')
    const define = `set -euo pipefail\nagent-store() { "${process.execPath}" "${main}" "$@"; }\n`
    return run('bash', ['-c', define + code])
  },
  text: () => 'not code',
}

function run(command: string, args: string[]): string {
  return execFileSync(command, args, { cwd: folder, encoding: 'utf8', env })
}

const withoutServer = withoutDatabase()
const env = { ...process.env, ...(withoutServer ? {} : { AGENT_STORE_URL: databaseUrl() }) }

let blocks = 0
for (const document of documents) {
  const text = readFileSync(join(root, document), 'utf8')
  for (const [, language = '', code = ''] of text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)) {
    const number = ++blocks
    const skip = code.includes('AGENT_STORE_URL') && withoutServer
    test(`${document}: block ${number} (${language || 'no language'}) runs`, { skip }, () => {
      const runner = runners[language]
      assert.ok(runner, `a block in ${JSON.stringify(language)} cannot be executed`)
      assert.notEqual(runner(code, `block-${number}`), '')
    })
  }
}

test('there are blocks to run', () => {
  assert.ok(blocks >= 7, `${blocks} blocks found`)
})
