/**
 * Draws the import graph of `src/` and keeps its rules; `npm run graph` runs it.
 *
 * On each level a box is a file or a folder, and an arrow an import from one box to another, types
 * included. No box may reach itself, on any level: then each box has a floor, and every arrow runs
 * down. The top level has at most 16 boxes, and no module has more than 320 lines.
 *
 * This folder is no workspace, because dependency-cruiser reads TypeScript by the compiler's
 * JavaScript interface, which the compiler of the project (7) no longer has.
 */
import { readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { cruise } from 'dependency-cruiser'

const MOST_BOXES = 16
const MOST_LINES = 320

const root = join(import.meta.dirname, '../..')
process.chdir(root)

const { output } = await cruise(['src'], {
  baseDir: root,
  tsPreCompilationDeps: true,
  enhancedResolveOptions: { conditionNames: ['@agent-store/source'], exportsFields: ['exports'] },
})

/** Each module of `src/`, and those that it imports, as lists of path segments below `src/`. */
const modules = output.modules
  .filter(({ source }) => source.startsWith('src/') && source.endsWith('.ts'))
  .map(({ source, dependencies }) => ({
    path: segments(source),
    targets: dependencies
      .map(({ resolved }) => resolved)
      .filter((resolved) => resolved.startsWith('src/'))
      .map(segments),
    unresolved: dependencies.filter(({ couldNotResolve }) => couldNotResolve),
  }))

function segments(file) {
  return file.split(sep).join('/').split('/').slice(1)
}

const faults = []

/** The boxes of one level, and for each the boxes that it imports. */
function level(folder) {
  const boxes = new Map()
  const isBelow = (path) =>
    folder.every((name, i) => path[i] === name) && path.length > folder.length
  for (const { path, targets } of modules.filter(({ path }) => isBelow(path))) {
    const box = path[folder.length]
    const seen = boxes.get(box) ?? new Set()
    boxes.set(box, seen)
    for (const target of targets.filter(isBelow)) {
      if (target[folder.length] !== box) seen.add(target[folder.length])
    }
  }
  return boxes
}

/** The floor of each box: one above the highest that it imports. Reports a circle. */
function floors(boxes, where) {
  const known = new Map()
  const visit = (box, way) => {
    if (way.includes(box)) {
      faults.push(`circle in ${where}: ${[...way.slice(way.indexOf(box)), box].join(' -> ')}`)
      return 0
    }
    if (!known.has(box)) {
      const below = [...(boxes.get(box) ?? [])].map((next) => visit(next, [...way, box]))
      known.set(box, 1 + Math.max(0, ...below))
    }
    return known.get(box)
  }
  for (const box of boxes.keys()) visit(box, [])
  return known
}

/** A picture of one level in text: the top floor first. */
function draw(boxes, heights) {
  const top = Math.max(...heights.values())
  for (let floor = top; floor >= 1; floor--) {
    for (const [box, height] of [...heights].sort()) {
      if (height !== floor) continue
      const targets = [...(boxes.get(box) ?? [])].sort().join(', ')
      console.log(`${String(floor).padStart(2)}  ${box.padEnd(14)}${targets && ` -> ${targets}`}`)
    }
  }
}

const folders = new Set(
  modules.flatMap(({ path }) => path.slice(0, -1).map((_, i) => path.slice(0, i + 1).join('/'))),
)
const top = level([])
const heights = floors(top, 'src')
draw(top, heights)
for (const folder of [...folders].sort()) {
  const boxes = level(folder.split('/'))
  const inside = floors(boxes, `src/${folder}`)
  if (process.argv.includes('--all')) {
    console.log(`\nsrc/${folder}`)
    draw(boxes, inside)
  }
}
if (top.size > MOST_BOXES)
  faults.push(`src/ has ${top.size} boxes, at most ${MOST_BOXES} are allowed`)
for (const { path, unresolved } of modules) {
  const file = `src/${path.join('/')}`
  for (const { module } of unresolved) faults.push(`${file} imports ${module}, which was not found`)
  const lines = readFileSync(file, 'utf8').split('\n').length - 1
  if (lines > MOST_LINES)
    faults.push(`${file} has ${lines} lines, at most ${MOST_LINES} are allowed`)
}
const arrows = [...top.values()].reduce((sum, targets) => sum + targets.size, 0)
console.log(`\n${modules.length} modules, ${top.size} boxes, ${arrows} arrows on the top level`)
if (modules.length < 100) faults.push('the modules of src/ were not found')
for (const fault of faults) console.error(`fault: ${fault}`)
console.log(`${faults.length} faults (circles, arrows that run up, boxes, lines)`)
process.exitCode = faults.length === 0 ? 0 : 1
