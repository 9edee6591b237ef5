/**
 * The program of the worker that pumps bytes between a socket and shared memory.
 *
 * It is a string, because a worker's file would not survive a bundler, and it refers to
 * nothing outside of itself. It knows TCP, unix sockets and the TLS handshake, and nothing of
 * what the bytes mean. Layout of the shared memory: `pump.ts`.
 *
 * @module
 */

/** Cells of the control array, in the order in which the worker's source destructures them. */
export const CELL = {
  /** Goes up whenever there is news; what the caller's thread waits on. */
  signal: 0,
  /** One of {@link STATE}. */
  state: 1,
  /** Bytes ever written to the ring, modulo 2^32. */
  written: 2,
  /** Bytes ever taken out of the ring, modulo 2^32. */
  read: 3,
  /** 1: the worker holds bytes that did not fit. */
  backlog: 4,
  /** 1: post a message on arrival; 2: posted, not yet seen. */
  bell: 5,
  /** Length of the JSON text in the info array. */
  info: 6,
} as const

/** What has become of the socket. */
export const STATE = { connecting: 0, open: 1, ended: 2 } as const

export const PUMP_SOURCE: string = `
'use strict'
const { parentPort, workerData } = require('node:worker_threads')
const net = require('node:net')
const tls = require('node:tls')
const { control, ring, info, target } = workerData
const SIGNAL = 0, STATE = 1, WRITTEN = 2, READ = 3, BACKLOG = 4, BELL = 5, INFO = 6
const OPEN = 1, ENDED = 2
const backlog = []
let socket

function tell() {
  Atomics.add(control, SIGNAL, 1)
  Atomics.notify(control, SIGNAL)
  if (Atomics.compareExchange(control, BELL, 1, 2) === 1) parentPort.postMessage(0)
}

function note(detail) {
  let bytes = new TextEncoder().encode(JSON.stringify(detail))
  if (bytes.length > info.length) bytes = new TextEncoder().encode('{"code":"ETOOLONG"}')
  info.set(bytes)
  Atomics.store(control, INFO, bytes.length)
}

function end(code, message) {
  if (Atomics.load(control, STATE) === ENDED) return
  note({ code: String(code), message: String(message) })
  Atomics.store(control, STATE, ENDED)
  tell()
}

function flush() {
  while (backlog.length > 0) {
    const chunk = backlog[0]
    const written = Atomics.load(control, WRITTEN)
    const used = (written - Atomics.load(control, READ)) >>> 0
    const free = ring.length - used
    if (free === 0) {
      socket.pause()
      Atomics.store(control, BACKLOG, 1)
      if (((written - Atomics.load(control, READ)) >>> 0) === ring.length) return
      continue
    }
    const at = (written >>> 0) % ring.length
    const size = Math.min(chunk.length, free, ring.length - at)
    ring.set(chunk.subarray(0, size), at)
    Atomics.store(control, WRITTEN, (written + size) | 0)
    if (size === chunk.length) backlog.shift()
    else backlog[0] = chunk.subarray(size)
    tell()
  }
  Atomics.store(control, BACKLOG, 0)
  if (socket.isPaused()) socket.resume()
}

let ending
function ended(code, message) {
  // What came before the end is for the reader first.
  if (backlog.length > 0) ending ??= [code, message]
  else end(code, message)
}

function open(ready, certificate) {
  socket = ready
  socket.on('data', (chunk) => {
    backlog.push(chunk)
    if (backlog.length === 1) flush()
  })
  socket.on('end', () => ended('ECONNRESET', 'the server closed the connection'))
  note({ certificate })
  Atomics.store(control, STATE, OPEN)
  tell()
}

process.on('exit', () => end('EWORKER', 'the connection\\'s worker ended'))
process.on('uncaughtException', (error) => {
  end('EWORKER', error.message)
  process.exit(0)
})

const failed = (error) => ended(error.code ?? 'ECONNRESET', error.message)
const raw = net.connect(
  target.path === undefined ? { host: target.host, port: target.port } : { path: target.path },
)
socket = raw
raw.setNoDelay(true)
raw.setKeepAlive(true, 10000)
raw.on('error', failed)
raw.on('close', () => ended('ECONNRESET', 'the connection was closed'))
raw.once('connect', () => {
  if (target.tls === undefined) return open(raw)
  raw.write(Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47))
  raw.once('data', (answer) => {
    raw.pause()
    if (answer.length !== 1 || answer[0] !== 83) {
      const refused = answer.length === 1 && answer[0] === 78
      end('ETLS', refused ? 'the server does not speak TLS' : 'the server did not answer the request for TLS as it must')
      raw.destroy()
      return
    }
    const { ca, cert, key, serverName: host } = target.tls
    const servername = net.isIP(host) === 0 ? host : undefined
    const secure = tls.connect({ socket: raw, ca, cert, key, servername, host }, () => {
      const peer = secure.getPeerX509Certificate?.()
      open(secure, peer === undefined ? undefined : Buffer.from(peer.raw).toString('base64'))
    })
    secure.on('error', failed)
  })
})

parentPort.on('message', (message) => {
  if (message instanceof Uint8Array) socket.write(message)
  else if (message === 'drain') {
    flush()
    if (ending !== undefined && backlog.length === 0) end(...ending)
  } else if (message === 'close') {
    parentPort.unref()
    socket.end(() => process.exit(0))
    socket.resume()
    setTimeout(() => process.exit(0), 1000).unref()
  }
})
`
