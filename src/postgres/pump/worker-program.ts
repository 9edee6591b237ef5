/**
 * The program of the worker that pumps bytes between sockets and shared memory.
 *
 * It knows TCP, unix sockets and the TLS handshake, and nothing of what the bytes mean. No
 * connection can harm another: what goes wrong with its socket ends it alone, and a socket whose
 * ring is full is not read from.
 *
 * A worker's file would not survive a bundler, so this module and `worker-tls.ts` are shipped as
 * text, in `worker-code.ts`, which `npm run build:pump` generates. They may import from `node:`,
 * from each other, and take constants from `commission.ts`; nothing else can be generated.
 *
 * @module
 */
import { connect, type Socket } from 'node:net'
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import {
  CELL,
  type Command,
  type Commission,
  type PumpTls,
  type SharedMemory,
  STATE,
} from './commission.ts'
import { readOn, startTls } from './worker-tls.ts'

/** A commission as it arrives here. */
interface Order extends Commission {
  readonly port: MessagePort
}

interface Connection extends Order {
  socket: Socket
  /** Bytes from the server that did not fit in the ring yet. */
  readonly backlog: Uint8Array[]
  /** Why the connection ended, while the backlog is still for the reader. */
  ending: readonly [code: string, message: string] | undefined
}

const KEEP_ALIVE_MS = 10_000
/** How long a closed connection may take to say goodbye. */
const CLOSING_MS = 1_000
const connections = new Set<Connection>()
let reason = "the connection's worker ended"

function tell({ control, port }: Order): void {
  Atomics.add(control, CELL.signal, 1)
  Atomics.notify(control, CELL.signal)
  if (Atomics.compareExchange(control, CELL.bell, 1, 2) === 1) port.postMessage(0)
}

function note({ control, info }: SharedMemory, cell: 'certificate' | 'reason', text: string): void {
  const size = info.length / 2
  const half = info.subarray(cell === 'reason' ? size : 0).subarray(0, size)
  const bytes = Buffer.from(text)
  const tooLong = Buffer.from(cell === 'reason' ? '{"code":"ETOOLONG"}' : '')
  const fitting = bytes.length > size ? tooLong : bytes
  half.set(fitting)
  Atomics.store(control, CELL[cell], fitting.length)
}

function end(order: Order, code: string, message: string): void {
  if (Atomics.load(order.control, CELL.state) === STATE.ended) return
  note(order, 'reason', JSON.stringify({ code, message }))
  Atomics.store(order.control, CELL.state, STATE.ended)
  tell(order)
}

function flush(connection: Connection): void {
  const { control, ring, backlog, socket } = connection
  for (let chunk = backlog[0]; chunk !== undefined; chunk = backlog[0]) {
    const written = Atomics.load(control, CELL.written)
    const used = (written - Atomics.load(control, CELL.read)) >>> 0
    const free = ring.length - used
    if (free === 0) {
      socket.pause()
      Atomics.store(control, CELL.backlog, 1)
      if ((written - Atomics.load(control, CELL.read)) >>> 0 === ring.length) return
      continue
    }
    const at = (written >>> 0) % ring.length
    const size = Math.min(chunk.length, free, ring.length - at)
    ring.set(chunk.subarray(0, size), at)
    Atomics.store(control, CELL.written, (written + size) | 0)
    if (size === chunk.length) backlog.shift()
    else backlog[0] = chunk.subarray(size)
    tell(connection)
  }
  Atomics.store(control, CELL.backlog, 0)
  if (socket.isPaused()) socket.resume()
}

function ended(connection: Connection, code: string, message: string): void {
  // The reader gets the bytes that came before the end first.
  if (connection.backlog.length > 0) connection.ending ??= [code, message]
  else end(connection, code, message)
}

function failed(connection: Connection, error: unknown): void {
  ended(connection, codeOf(error) ?? 'ECONNRESET', messageOf(error))
}

function open(connection: Connection, socket: Socket, certificate = ''): void {
  connection.socket = socket
  socket.on('data', (chunk: Buffer) => {
    connection.backlog.push(chunk)
    if (connection.backlog.length === 1) flush(connection)
  })
  socket.on('end', () => ended(connection, 'ECONNRESET', 'the server closed the connection'))
  note(connection, 'certificate', certificate)
  Atomics.store(connection.control, CELL.state, STATE.open)
  tell(connection)
}

function secure(connection: Connection, raw: Socket, tls: PumpTls): void {
  startTls(raw, tls, {
    opened: (socket, certificate) => open(connection, socket, certificate),
    refused: (message) => end(connection, 'ETLS', message),
    failed: (error) => failed(connection, error),
  })
}

function leave(connection: Connection): void {
  connections.delete(connection)
  connection.socket.destroy()
  end(connection, 'ECLOSED', 'the connection is closed')
  connection.port.close()
}

function obey(connection: Connection, command: Command): void {
  const { socket } = connection
  if (command instanceof Uint8Array) socket.write(command)
  else if (command === 'destroy') leave(connection)
  else if (command === 'drain') {
    flush(connection)
    if (connection.ending !== undefined && connection.backlog.length === 0) {
      end(connection, ...connection.ending)
    }
  } else {
    const late = setTimeout(() => leave(connection), CLOSING_MS)
    socket.end(() => {
      clearTimeout(late)
      leave(connection)
    })
    socket.resume()
  }
}

function serve(order: Order): void {
  const { target, port } = order
  const raw = readOn(
    target.path === undefined
      ? connect({ host: target.host, port: target.port })
      : connect({ path: target.path }),
  )
  const connection: Connection = { ...order, socket: raw, backlog: [], ending: undefined }
  connections.add(connection)
  raw.setNoDelay(true)
  raw.setKeepAlive(true, KEEP_ALIVE_MS)
  raw.on('error', (error) => failed(connection, error))
  raw.on('close', () => ended(connection, 'ECONNRESET', 'the connection was closed'))
  raw.once('connect', () => {
    if (target.tls === undefined) open(connection, raw)
    else secure(connection, raw, target.tls)
  })
  port.on('message', (command: Command) => obey(connection, command))
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Obey the thread that started this worker, whose port is `parent`. */
function run(parent: MessagePort, life: Int32Array): void {
  parent.on('message', (order: Order) => {
    try {
      serve(order)
    } catch (error) {
      end(order, codeOf(error) ?? 'EINVAL', messageOf(error))
    }
  })
  process.on('exit', () => {
    Atomics.store(life, 0, 1)
    for (const connection of connections) end(connection, 'EWORKER', reason)
    // An order that came too late would wait in vain.
    for (let late = receiveMessageOnPort(parent); late; late = receiveMessageOnPort(parent)) {
      end(late.message, 'EWORKER', reason)
    }
  })
  process.on('uncaughtException', (error) => {
    reason = error.message
    process.exit(0)
  })
}

if (parentPort !== null && workerData instanceof Int32Array) run(parentPort, workerData)
