/**
 * The program of the worker that pumps bytes between sockets and shared memory.
 *
 * It is a string, because a worker's file would not survive a bundler, and it refers to
 * nothing outside of itself. It knows TCP, unix sockets and the TLS handshake, and nothing of
 * what the bytes mean. No connection can harm another: what goes wrong with its socket ends it
 * alone, and a socket whose ring is full is not read from.
 *
 * @module
 */

/** Cells of a connection's control array, in the order in which the worker's source destructures them. */
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
  /** Length of the certificate in base64, at the start of the info array. */
  certificate: 6,
  /** Length of the JSON text in the other half of it, which says why the connection ended. */
  reason: 7,
} as const

/** What has become of the socket. */
export const STATE = { connecting: 0, open: 1, ended: 2 } as const

export const PUMP_SOURCE: string = `
'use strict'
const { parentPort, receiveMessageOnPort, workerData: life } = require('node:worker_threads')
const net = require('node:net')
const SIGNAL = 0, STATE = 1, WRITTEN = 2, READ = 3, BACKLOG = 4, BELL = 5, CERTIFICATE = 6, REASON = 7
const OPEN = 1, ENDED = 2
const connections = new Set()
let reason = "the connection's worker ended"

function tell({ control, port }) {
  Atomics.add(control, SIGNAL, 1)
  Atomics.notify(control, SIGNAL)
  if (Atomics.compareExchange(control, BELL, 1, 2) === 1) port.postMessage(0)
}

// Each has a half of its own: the one may be read while the other is written.
function note({ control, info }, cell, text) {
  const half = info.subarray(cell === REASON ? info.length / 2 : 0).subarray(0, info.length / 2)
  let bytes = new TextEncoder().encode(text)
  if (bytes.length > half.length) bytes = new TextEncoder().encode(cell === REASON ? '{"code":"ETOOLONG"}' : '')
  half.set(bytes)
  Atomics.store(control, cell, bytes.length)
}

function end(connection, code, message) {
  if (Atomics.load(connection.control, STATE) === ENDED) return
  note(connection, REASON, JSON.stringify({ code: String(code), message: String(message) }))
  Atomics.store(connection.control, STATE, ENDED)
  tell(connection)
}

function flush(connection) {
  const { control, ring, backlog, socket } = connection
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
    tell(connection)
  }
  Atomics.store(control, BACKLOG, 0)
  if (socket.isPaused()) socket.resume()
}

function ended(connection, code, message) {
  // What came before the end is for the reader first.
  if (connection.backlog.length > 0) connection.ending ??= [code, message]
  else end(connection, code, message)
}

function failed(connection, error) {
  ended(connection, error.code ?? 'ECONNRESET', error.message)
}

function open(connection, socket, certificate) {
  connection.socket = socket
  socket.on('data', (chunk) => {
    connection.backlog.push(chunk)
    if (connection.backlog.length === 1) flush(connection)
  })
  socket.on('end', () => ended(connection, 'ECONNRESET', 'the server closed the connection'))
  note(connection, CERTIFICATE, certificate ?? '')
  Atomics.store(connection.control, STATE, OPEN)
  tell(connection)
}

// A failed write would close the socket with what the server said before unread. The end of
// that comes by reading, and is known at once; the wait is for systems where it does not.
function readOn(socket) {
  for (const name of ['_write', '_writev']) {
    const write = socket[name]
    if (!write) continue // another runtime
    socket[name] = (...args) => {
      const done = args.pop()
      write.call(socket, ...args, (error) => error ? setTimeout(done, 1000, error) : done())
    }
  }
  return socket
}

function secure(connection, raw) {
  raw.write(Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47))
  raw.once('data', (answer) => {
    raw.pause()
    if (answer.length !== 1 || answer[0] !== 83) {
      const refused = answer.length === 1 && answer[0] === 78
      end(connection, 'ETLS', refused ? 'the server does not speak TLS' : 'the server did not answer the request for TLS as it must')
      raw.destroy()
      return
    }
    const { ca, cert, key, serverName: host } = connection.target.tls
    const servername = net.isIP(host) === 0 ? host : undefined
    try {
      const socket = readOn(require('node:tls').connect({ socket: raw, ca, cert, key, servername, host }, () => {
        const peer = socket.getPeerX509Certificate?.()
        open(connection, socket, peer === undefined ? undefined : Buffer.from(peer.raw).toString('base64'))
      }))
      socket.on('error', (error) => failed(connection, error))
    } catch (error) {
      failed(connection, error) // a certificate or key that is none
      raw.destroy()
    }
  })
}

function leave(connection) {
  connections.delete(connection)
  connection.socket.destroy()
  end(connection, 'ECLOSED', 'the connection is closed')
  connection.port.close()
}

function obey(connection, message) {
  const { socket } = connection
  if (message instanceof Uint8Array) socket.write(message)
  else if (message === 'drain') {
    flush(connection)
    if (connection.ending !== undefined && connection.backlog.length === 0) end(connection, ...connection.ending)
  } else if (message === 'close') {
    const late = setTimeout(() => leave(connection), 1000)
    socket.end(() => {
      clearTimeout(late)
      leave(connection)
    })
    socket.resume()
  } else if (message === 'destroy') leave(connection)
}

function serve(commission) {
  const { target, port } = commission
  const raw = readOn(net.connect(
    target.path === undefined ? { host: target.host, port: target.port } : { path: target.path },
  ))
  const connection = { ...commission, socket: raw, backlog: [], ending: undefined }
  connections.add(connection)
  raw.setNoDelay(true)
  raw.setKeepAlive(true, 10000)
  raw.on('error', (error) => failed(connection, error))
  raw.on('close', () => ended(connection, 'ECONNRESET', 'the connection was closed'))
  raw.once('connect', () => {
    if (target.tls === undefined) open(connection, raw)
    else secure(connection, raw)
  })
  port.on('message', (message) => obey(connection, message))
}

parentPort.on('message', (commission) => {
  try {
    serve(commission)
  } catch (error) {
    end(commission, error.code ?? 'EINVAL', error.message)
  }
})

process.on('exit', () => {
  Atomics.store(life, 0, 1)
  for (const connection of connections) end(connection, 'EWORKER', reason)
  // Those that came too late would wait in vain.
  for (let late; (late = receiveMessageOnPort(parentPort)) !== undefined; ) end(late.message, 'EWORKER', reason)
})
process.on('uncaughtException', (error) => {
  reason = error.message
  process.exit(0)
})
`
