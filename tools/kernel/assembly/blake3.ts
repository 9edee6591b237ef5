/**
 * BLAKE3-256, unkeyed, in 128-bit WebAssembly SIMD.
 *
 * Follows the BLAKE3 specification, https://github.com/BLAKE3-team/BLAKE3-specs; the terms are its
 * own: chunk, block, chaining value (CV), parent, root.
 *
 * There are two compression functions. `compressLanes` works on four independent blocks, one in
 * each lane of a vector, and is bound by throughput. `hashRows` works on one chain of blocks, with
 * the four rows of the state in four vectors, and is bound by latency. The lanes take less than
 * twice the time of one chain, so they are preferred as soon as there are two chains.
 *
 * Everything lies at a fixed address; nothing is allocated or imported. The host writes its input
 * to the window, calls, and reads the digests. Every hash starts from a clean state.
 */

const BLOCK_BYTES: u32 = 64
const CHUNK_BYTES: u32 = 1024
const CV_BYTES: u32 = 32
const WINDOW_CHUNKS: u32 = 256
const MAX_INPUTS: u32 = 512

const CHUNK_START: u32 = 1
const CHUNK_END: u32 = 2
const PARENT: u32 = 4
const ROOT: u32 = 8

/** The initial chaining value. */
const IV: usize = memory.data<u32>(
  [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
  ],
  16,
)

/** For each of the seven rounds the order of the message words, as offsets into `MESSAGE`. */
const SCHEDULE: usize = memory.data<u8>(
  [
    0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240,
    32, 96, 48, 160, 112, 0, 64, 208, 16, 176, 192, 80, 144, 224, 240, 128,
    48, 64, 160, 192, 208, 32, 112, 224, 96, 80, 144, 0, 176, 240, 128, 16,
    160, 112, 192, 144, 224, 48, 208, 240, 64, 0, 176, 32, 80, 128, 16, 96,
    192, 208, 144, 176, 240, 160, 224, 128, 112, 32, 80, 48, 0, 16, 96, 64,
    144, 224, 176, 80, 128, 192, 240, 16, 208, 48, 0, 160, 32, 96, 64, 112,
    176, 240, 80, 0, 16, 144, 128, 96, 224, 160, 32, 192, 48, 64, 112, 208,
  ],
  16,
)
const SCHEDULE_END: usize = SCHEDULE + 7 * 16

/**
 * Byte shuffles that rotate words by 16 and by 8 bits. They lie in memory because V8 would build a
 * constant anew at each use, in four instructions, where a load is one.
 */
const ROTATE_16: usize = memory.data<u8>(
  [2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13],
  16,
)
const ROTATE_8: usize = memory.data<u8>(
  [1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12],
  16,
)

/** As many bytes of ones as a block has, then as many of zeros. */
const BYTE_MASKS: usize = memory.data<u64>(
  [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0],
  16,
)

/** The message words of four blocks: word `w` of lane `l` at `16 * w + 4 * l`. */
const MESSAGE: usize = memory.data(16 * 16, 16)

// What the four lanes are hashing, and how far each is: one element per lane.
const LANE_CV: usize = memory.data(8 * 16, 16)
const LANE_BLOCK: usize = memory.data(16, 16)
const LANE_BLOCK_LENGTH: usize = memory.data(16, 16)
const LANE_COUNTER_LOW: usize = memory.data(16, 16)
const LANE_COUNTER_HIGH: usize = memory.data(16, 16)
const LANE_FLAGS: usize = memory.data(16, 16)
const LANE_REMAINING: usize = memory.data(16, 16)
const LANE_START_FLAGS: usize = memory.data(16, 16)
const LANE_END_FLAGS: usize = memory.data(16, 16)
const LANE_OUTPUT: usize = memory.data(16, 16)
const LANE_PADDED: usize = memory.data(4 * 64, 16)

/**
 * Chunks waiting for a lane, and where their chaining values go. Inputs of more than one chunk have
 * fewer than 512 chunks in a window, as each such input has more than 1024 bytes and at most one
 * chunk that is not full; the other jobs are whole inputs, of which there are at most 512.
 */
const JOBS: usize = memory.data(1024 * 32, 16)
const JOB_BYTES: usize = 32

/** Chaining values of the chunks of inputs that have more than one, then of their parents. */
const CHUNK_CVS: usize = memory.data(512 * 32, 16)

/** Chaining values of complete subtrees of a streamed input, the largest first. */
const STACK: usize = memory.data(64 * 32, 16)

const LENGTHS: usize = memory.data(512 * 4, 16)
const DIGESTS: usize = memory.data(512 * 32, 16)

/** A block may be read to its full length beyond the last input, so the window has a margin. */
const WINDOW: usize = memory.data(256 * 1024 + 64, 16)

export const windowAddress: usize = WINDOW
export const windowBytes: u32 = WINDOW_CHUNKS * CHUNK_BYTES
export const lengthsAddress: usize = LENGTHS
export const digestsAddress: usize = DIGESTS
export const maxInputs: u32 = MAX_INPUTS

/** How many windows of the streamed input have been absorbed. */
let windows: u32 = 0
/** How many jobs there are. */
let jobs: u32 = 0

@inline
function add(a: v128, b: v128): v128 {
  return i32x4.add(a, b)
}

@inline
function xor(a: v128, b: v128): v128 {
  return v128.xor(a, b)
}

@inline
function rotate16(a: v128, shuffle: v128): v128 {
  return i8x16.swizzle(a, shuffle)
}

@inline
function rotate12(a: v128): v128 {
  return v128.or(i32x4.shr_u(a, 12), i32x4.shl(a, 20))
}

@inline
function rotate8(a: v128, shuffle: v128): v128 {
  return i8x16.swizzle(a, shuffle)
}

@inline
function rotate7(a: v128): v128 {
  return v128.or(i32x4.shr_u(a, 7), i32x4.shl(a, 25))
}

/** Where in `BYTE_MASKS` the mask begins that keeps the first `length` bytes of a block. */
@inline
function byteMask(length: u32): usize {
  return BYTE_MASKS + BLOCK_BYTES - length
}

/** Copy the first `length` bytes of a block to `target`, and fill the rest with zeros. */
@inline
function padBlock(target: usize, block: usize, length: u32): void {
  const mask = byteMask(length)
  v128.store(target, v128.and(v128.load(block), v128.load(mask)))
  v128.store(target, v128.and(v128.load(block, 16), v128.load(mask, 16)), 16)
  v128.store(target, v128.and(v128.load(block, 32), v128.load(mask, 32)), 32)
  v128.store(target, v128.and(v128.load(block, 48), v128.load(mask, 48)), 48)
}

/**
 * Compress `length` bytes at `input`, at most a chunk, block by block into the chaining value at
 * `cv`, which may be the initial one, and write the result to `output`. The first block carries
 * `startFlags`, the last `endFlags`; an empty input is one empty block.
 */
function hashRows(
  cv: usize,
  input: usize,
  length: u32,
  counter: u64,
  startFlags: u32,
  endFlags: u32,
  output: usize,
): void {
  let cv0 = v128.load(cv)
  let cv1 = v128.load(cv, 16)
  const shuffle16 = v128.load(ROTATE_16)
  const shuffle8 = v128.load(ROTATE_8)
  let flags = startFlags
  for (;;) {
    let m0 = v128.load(input)
    let m1 = v128.load(input, 16)
    let m2 = v128.load(input, 32)
    let m3 = v128.load(input, 48)
    let blockLength = BLOCK_BYTES
    if (length <= BLOCK_BYTES) {
      blockLength = length
      flags |= endFlags
      const mask = byteMask(length)
      m0 = v128.and(m0, v128.load(mask))
      m1 = v128.and(m1, v128.load(mask, 16))
      m2 = v128.and(m2, v128.load(mask, 32))
      m3 = v128.and(m3, v128.load(mask, 48))
    }
    let a = cv0
    let b = cv1
    let c = v128.load(IV)
    let d = i64x2.replace_lane(
      i64x2.splat(counter),
      1,
      (blockLength as u64) | ((flags as u64) << 32),
    )
    // The words for the four columns, first and second half of G, then those for the diagonals.
    // Row b stays in place for the diagonals, as it is the last to be ready, and the other rows
    // are turned towards it; so the diagonals come in the order of b, one lane further right.
    let x = v128.shuffle<u32>(m0, m1, 0, 2, 4, 6)
    let y = v128.shuffle<u32>(m0, m1, 1, 3, 5, 7)
    let z = v128.shuffle<u32>(m3, m2, 2, 4, 6, 0)
    let w = v128.shuffle<u32>(m3, m2, 3, 5, 7, 1)
    for (let round = 0; ; ) {
      a = add(add(a, x), b)
      d = rotate16(xor(d, a), shuffle16)
      c = add(c, d)
      b = rotate12(xor(b, c))
      a = add(add(a, y), b)
      d = rotate8(xor(d, a), shuffle8)
      c = add(c, d)
      b = rotate7(xor(b, c))

      a = v128.shuffle<u32>(a, a, 3, 0, 1, 2)
      c = v128.shuffle<u32>(c, c, 1, 2, 3, 0)
      d = v128.shuffle<u32>(d, d, 2, 3, 0, 1)
      a = add(add(a, z), b)
      d = rotate16(xor(d, a), shuffle16)
      c = add(c, d)
      b = rotate12(xor(b, c))
      a = add(add(a, w), b)
      d = rotate8(xor(d, a), shuffle8)
      c = add(c, d)
      b = rotate7(xor(b, c))
      a = v128.shuffle<u32>(a, a, 1, 2, 3, 0)
      c = v128.shuffle<u32>(c, c, 3, 0, 1, 2)
      d = v128.shuffle<u32>(d, d, 2, 3, 0, 1)
      if (++round == 7) break

      // The message permutation, for words in the places described above. Each step is a shuffle
      // that is one machine instruction.
      const xy = v128.shuffle<u32>(x, y, 1, 2, 5, 7)
      const zw = v128.shuffle<u32>(z, w, 0, 1, 2, 7)
      const xzw = v128.shuffle<u32>(x, zw, 0, 3, 6, 7)
      const wy = v128.shuffle<u32>(w, y, 0, 4, 1, 5)
      const wyz = v128.shuffle<u32>(wy, z, 0, 1, 2, 7)
      const yw = v128.shuffle<u32>(w, y, 2, 6, 3, 7)
      const zyw = v128.shuffle<u32>(z, yw, 0, 1, 4, 5)
      x = v128.shuffle<u32>(xy, xy, 0, 2, 3, 1)
      y = v128.shuffle<u32>(xzw, xzw, 1, 2, 0, 3)
      z = v128.shuffle<u32>(wyz, wyz, 0, 1, 3, 2)
      w = v128.shuffle<u32>(zyw, zyw, 1, 2, 3, 0)
    }
    cv0 = xor(a, c)
    cv1 = xor(b, d)
    if (length <= BLOCK_BYTES) break
    input += BLOCK_BYTES
    length -= BLOCK_BYTES
    flags = 0
  }
  v128.store(output, cv0)
  v128.store(output, cv1, 16)
}

/** Write words `4 * quarter` and the next three of the four lanes' blocks to `MESSAGE`. */
@inline
function transposeWords(quarter: usize): void {
  const m0 = v128.load((load<u32>(LANE_BLOCK) as usize) + 16 * quarter)
  const m1 = v128.load((load<u32>(LANE_BLOCK + 4) as usize) + 16 * quarter)
  const m2 = v128.load((load<u32>(LANE_BLOCK + 8) as usize) + 16 * quarter)
  const m3 = v128.load((load<u32>(LANE_BLOCK + 12) as usize) + 16 * quarter)
  const low01 = v128.shuffle<u32>(m0, m1, 0, 4, 1, 5)
  const low23 = v128.shuffle<u32>(m2, m3, 0, 4, 1, 5)
  const high01 = v128.shuffle<u32>(m0, m1, 2, 6, 3, 7)
  const high23 = v128.shuffle<u32>(m2, m3, 2, 6, 3, 7)
  const target = MESSAGE + 64 * quarter
  v128.store(target, v128.shuffle<u64>(low01, low23, 0, 2))
  v128.store(target + 16, v128.shuffle<u64>(low01, low23, 1, 3))
  v128.store(target + 32, v128.shuffle<u64>(high01, high23, 0, 2))
  v128.store(target + 48, v128.shuffle<u64>(high01, high23, 1, 3))
}

/** The message word at `position` in the order of this round, in all four lanes. */
@inline
function word(round: usize, position: usize): v128 {
  return v128.load(load<u8>(round + position) as usize, MESSAGE)
}

/** Compress the block of each lane into the chaining value of the lane. */
function compressLanes(): void {
  transposeWords(0)
  transposeWords(1)
  transposeWords(2)
  transposeWords(3)
  let v0 = v128.load(LANE_CV)
  let v1 = v128.load(LANE_CV + 16)
  let v2 = v128.load(LANE_CV + 32)
  let v3 = v128.load(LANE_CV + 48)
  let v4 = v128.load(LANE_CV + 64)
  let v5 = v128.load(LANE_CV + 80)
  let v6 = v128.load(LANE_CV + 96)
  let v7 = v128.load(LANE_CV + 112)
  let v8 = v128.load_splat<u32>(IV)
  let v9 = v128.load_splat<u32>(IV + 4)
  let v10 = v128.load_splat<u32>(IV + 8)
  let v11 = v128.load_splat<u32>(IV + 12)
  let v12 = v128.load(LANE_COUNTER_LOW)
  let v13 = v128.load(LANE_COUNTER_HIGH)
  let v14 = v128.load(LANE_BLOCK_LENGTH)
  let v15 = v128.load(LANE_FLAGS)
  const shuffle16 = v128.load(ROTATE_16)
  const shuffle8 = v128.load(ROTATE_8)
  for (let round = SCHEDULE; round < SCHEDULE_END; round += 16) {
    // G on the columns.
    v0 = add(add(v0, word(round, 0)), v4)
    v12 = rotate16(xor(v12, v0), shuffle16)
    v8 = add(v8, v12)
    v4 = rotate12(xor(v4, v8))
    v0 = add(add(v0, word(round, 1)), v4)
    v12 = rotate8(xor(v12, v0), shuffle8)
    v8 = add(v8, v12)
    v4 = rotate7(xor(v4, v8))

    v1 = add(add(v1, word(round, 2)), v5)
    v13 = rotate16(xor(v13, v1), shuffle16)
    v9 = add(v9, v13)
    v5 = rotate12(xor(v5, v9))
    v1 = add(add(v1, word(round, 3)), v5)
    v13 = rotate8(xor(v13, v1), shuffle8)
    v9 = add(v9, v13)
    v5 = rotate7(xor(v5, v9))

    v2 = add(add(v2, word(round, 4)), v6)
    v14 = rotate16(xor(v14, v2), shuffle16)
    v10 = add(v10, v14)
    v6 = rotate12(xor(v6, v10))
    v2 = add(add(v2, word(round, 5)), v6)
    v14 = rotate8(xor(v14, v2), shuffle8)
    v10 = add(v10, v14)
    v6 = rotate7(xor(v6, v10))

    v3 = add(add(v3, word(round, 6)), v7)
    v15 = rotate16(xor(v15, v3), shuffle16)
    v11 = add(v11, v15)
    v7 = rotate12(xor(v7, v11))
    v3 = add(add(v3, word(round, 7)), v7)
    v15 = rotate8(xor(v15, v3), shuffle8)
    v11 = add(v11, v15)
    v7 = rotate7(xor(v7, v11))

    // G on the diagonals.
    v0 = add(add(v0, word(round, 8)), v5)
    v15 = rotate16(xor(v15, v0), shuffle16)
    v10 = add(v10, v15)
    v5 = rotate12(xor(v5, v10))
    v0 = add(add(v0, word(round, 9)), v5)
    v15 = rotate8(xor(v15, v0), shuffle8)
    v10 = add(v10, v15)
    v5 = rotate7(xor(v5, v10))

    v1 = add(add(v1, word(round, 10)), v6)
    v12 = rotate16(xor(v12, v1), shuffle16)
    v11 = add(v11, v12)
    v6 = rotate12(xor(v6, v11))
    v1 = add(add(v1, word(round, 11)), v6)
    v12 = rotate8(xor(v12, v1), shuffle8)
    v11 = add(v11, v12)
    v6 = rotate7(xor(v6, v11))

    v2 = add(add(v2, word(round, 12)), v7)
    v13 = rotate16(xor(v13, v2), shuffle16)
    v8 = add(v8, v13)
    v7 = rotate12(xor(v7, v8))
    v2 = add(add(v2, word(round, 13)), v7)
    v13 = rotate8(xor(v13, v2), shuffle8)
    v8 = add(v8, v13)
    v7 = rotate7(xor(v7, v8))

    v3 = add(add(v3, word(round, 14)), v4)
    v14 = rotate16(xor(v14, v3), shuffle16)
    v9 = add(v9, v14)
    v4 = rotate12(xor(v4, v9))
    v3 = add(add(v3, word(round, 15)), v4)
    v14 = rotate8(xor(v14, v3), shuffle8)
    v9 = add(v9, v14)
    v4 = rotate7(xor(v4, v9))
  }
  v128.store(LANE_CV, xor(v0, v8))
  v128.store(LANE_CV + 16, xor(v1, v9))
  v128.store(LANE_CV + 32, xor(v2, v10))
  v128.store(LANE_CV + 48, xor(v3, v11))
  v128.store(LANE_CV + 64, xor(v4, v12))
  v128.store(LANE_CV + 80, xor(v5, v13))
  v128.store(LANE_CV + 96, xor(v6, v14))
  v128.store(LANE_CV + 112, xor(v7, v15))
}

@inline
function setLane(property: usize, lane: u32, value: u32): void {
  store<u32>(property + 4 * lane, value)
}

@inline
function getLane(property: usize, lane: u32): u32 {
  return load<u32>(property + 4 * lane)
}

/** Write the chaining value of one lane to `target`. */
function storeLaneCv(lane: u32, target: usize): void {
  const source = LANE_CV + 4 * lane
  for (let i: usize = 0; i < 8; i++) store<u32>(target + 4 * i, load<u32>(source + 16 * i))
}

/** Add the chunk of `length` bytes at `input` to the jobs. */
@inline
function addJob(input: usize, length: u32, counter: u64, endFlags: u32, output: usize): void {
  const job = JOBS + JOB_BYTES * jobs++
  store<u32>(job, input as u32)
  store<u32>(job, length, 4)
  store<u64>(job, counter, 8)
  store<u32>(job, endFlags, 16)
  store<u32>(job, output as u32, 20)
}

function startLane(lane: u32, job: usize): void {
  setLane(LANE_BLOCK, lane, load<u32>(job))
  setLane(LANE_REMAINING, lane, load<u32>(job, 4))
  setLane(LANE_COUNTER_LOW, lane, load<u32>(job, 8))
  setLane(LANE_COUNTER_HIGH, lane, load<u32>(job, 12))
  setLane(LANE_START_FLAGS, lane, CHUNK_START)
  setLane(LANE_END_FLAGS, lane, load<u32>(job, 16))
  setLane(LANE_OUTPUT, lane, load<u32>(job, 20))
  const target = LANE_CV + 4 * lane
  for (let i: usize = 0; i < 8; i++) store<u32>(target + 16 * i, load<u32>(IV + 4 * i))
}

/** Let a lane without a job repeat work that nobody looks at, and never end. */
function parkLane(lane: u32): void {
  setLane(LANE_BLOCK, lane, WINDOW as u32)
  setLane(LANE_REMAINING, lane, i32.MAX_VALUE)
}

/** Hash all jobs. A lane takes the next one as soon as it is free. */
function runJobs(): void {
  let next = JOBS
  const end = JOBS + JOB_BYTES * jobs
  let active = 0
  for (let lane: u32 = 0; lane < 4; lane++) {
    if (next < end) {
      startLane(lane, next)
      next += JOB_BYTES
      active++
    } else {
      parkLane(lane)
    }
  }
  const blockBytes = i32x4.splat(BLOCK_BYTES)
  while (active > 1) {
    const remaining = v128.load(LANE_REMAINING)
    const ending = i32x4.le_s(remaining, blockBytes)
    const startFlags = v128.load(LANE_START_FLAGS)
    const endFlags = v128.and(v128.load(LANE_END_FLAGS), ending)
    v128.store(LANE_FLAGS, v128.or(startFlags, endFlags))
    v128.store(LANE_BLOCK_LENGTH, i32x4.min_s(remaining, blockBytes))
    const endingLanes = i32x4.bitmask(ending) as u32
    for (let lanes = endingLanes; lanes != 0; lanes &= lanes - 1) {
      const lane = ctz(lanes)
      const length = getLane(LANE_REMAINING, lane)
      if (length < BLOCK_BYTES) {
        const padded = LANE_PADDED + BLOCK_BYTES * lane
        padBlock(padded, getLane(LANE_BLOCK, lane), length)
        setLane(LANE_BLOCK, lane, padded as u32)
      }
    }
    compressLanes()
    v128.store(LANE_BLOCK, i32x4.add(v128.load(LANE_BLOCK), blockBytes))
    v128.store(LANE_REMAINING, i32x4.sub(remaining, blockBytes))
    v128.store(LANE_START_FLAGS, i32x4.splat(0))
    for (let lanes = endingLanes; lanes != 0; lanes &= lanes - 1) {
      const lane = ctz(lanes)
      storeLaneCv(lane, getLane(LANE_OUTPUT, lane))
      if (next < end) {
        startLane(lane, next)
        next += JOB_BYTES
      } else {
        parkLane(lane)
        active--
      }
    }
  }
  if (active == 1) finishLastLane()
}

/** Finish the only lane that is still at work; alone it is faster in rows. */
function finishLastLane(): void {
  let lane: u32 = 0
  while (getLane(LANE_REMAINING, lane) > CHUNK_BYTES) lane++
  const output = getLane(LANE_OUTPUT, lane)
  storeLaneCv(lane, output)
  hashRows(
    output,
    getLane(LANE_BLOCK, lane),
    getLane(LANE_REMAINING, lane),
    (getLane(LANE_COUNTER_LOW, lane) as u64) | ((getLane(LANE_COUNTER_HIGH, lane) as u64) << 32),
    getLane(LANE_START_FLAGS, lane),
    getLane(LANE_END_FLAGS, lane),
    output,
  )
}

/** Add the chunks of an input, or of a part of one; returns their number. None is the root. */
function addChunks(input: usize, length: u32, counter: u64, cvs: usize): u32 {
  let count: u32 = 0
  do {
    const chunkLength = min(length, CHUNK_BYTES)
    addJob(input, chunkLength, counter, CHUNK_END, cvs)
    input += chunkLength
    length -= chunkLength
    counter++
    cvs += CV_BYTES
    count++
  } while (length > 0)
  return count
}

/** Replace the two chaining values at `children` by that of their parent, at `output`. */
function hashParent(children: usize, flags: u32, output: usize): void {
  hashRows(IV, children, BLOCK_BYTES, 0, PARENT, flags, output)
}

/**
 * Replace `count` chaining values, in place, by those of their parents. One without a sibling
 * moves up a level as it is, which gives the tree of the specification.
 */
function hashLevel(cvs: usize, count: u32): u32 {
  const parents = count >> 1
  let done: u32 = 0
  while (parents - done > 1) {
    for (let i: usize = 0; i < 8; i++) {
      v128.store(LANE_CV + 16 * i, v128.load_splat<u32>(IV + 4 * i))
    }
    // Lanes beyond the last parent read what follows, and are not looked at.
    const first = i32x4.splat((cvs + BLOCK_BYTES * done) as u32)
    v128.store(LANE_BLOCK, i32x4.add(first, i32x4(0, 64, 128, 192)))
    v128.store(LANE_BLOCK_LENGTH, i32x4.splat(BLOCK_BYTES))
    v128.store(LANE_COUNTER_LOW, i32x4.splat(0))
    v128.store(LANE_COUNTER_HIGH, i32x4.splat(0))
    v128.store(LANE_FLAGS, i32x4.splat(PARENT))
    compressLanes()
    for (let lane: u32 = 0; lane < 4 && done < parents; lane++) {
      storeLaneCv(lane, cvs + CV_BYTES * done++)
    }
  }
  if (done < parents) hashParent(cvs + BLOCK_BYTES * done, 0, cvs + CV_BYTES * done)
  if (count & 1) {
    const last = cvs + CV_BYTES * (count - 1)
    const target = cvs + CV_BYTES * parents
    v128.store(target, v128.load(last))
    v128.store(target, v128.load(last, 16), 16)
  }
  return (count + 1) >> 1
}

/** Hash two or more chaining values up to the root. */
function hashTree(cvs: usize, count: u32, output: usize): void {
  while (count > 2) count = hashLevel(cvs, count)
  hashParent(cvs, ROOT, output)
}

/** Hash `length` bytes in the window, a whole input, into the first digest. */
export function hash(length: u32): void {
  if (length <= CHUNK_BYTES) {
    hashRows(IV, WINDOW, length, 0, CHUNK_START, CHUNK_END | ROOT, DIGESTS)
    return
  }
  jobs = 0
  const count = addChunks(WINDOW, length, 0, CHUNK_CVS)
  runJobs()
  hashTree(CHUNK_CVS, count, DIGESTS)
}

/**
 * Hash `count` inputs that lie in the window, by their lengths, into the digests. Before each lie
 * `gap` bytes that are left out.
 */
export function hashMany(count: u32, gap: u32): void {
  jobs = 0
  let input = WINDOW
  let cvs = CHUNK_CVS
  let trees: u32 = 0
  for (let i: u32 = 0; i < count; i++) {
    const length = load<u32>(LENGTHS + 4 * i)
    input += gap
    if (length <= CHUNK_BYTES) {
      addJob(input, length, 0, CHUNK_END | ROOT, DIGESTS + CV_BYTES * i)
    } else {
      cvs += CV_BYTES * addChunks(input, length, 0, cvs)
      trees++
    }
    input += length
  }
  runJobs()
  cvs = CHUNK_CVS
  for (let i: u32 = 0; trees > 0; i++) {
    const length = load<u32>(LENGTHS + 4 * i)
    if (length <= CHUNK_BYTES) continue
    const chunks = (length + CHUNK_BYTES - 1) / CHUNK_BYTES
    hashTree(cvs, chunks, DIGESTS + CV_BYTES * i)
    cvs += CV_BYTES * chunks
    trees--
  }
}

/** Hash a part of a streamed input to one chaining value, on top of the stack. */
function pushPart(length: u32, depth: u32): void {
  jobs = 0
  let count = addChunks(WINDOW, length, (windows as u64) * WINDOW_CHUNKS, CHUNK_CVS)
  runJobs()
  while (count > 1) count = hashLevel(CHUNK_CVS, count)
  v128.store(STACK + CV_BYTES * depth, v128.load(CHUNK_CVS))
  v128.store(STACK + CV_BYTES * depth, v128.load(CHUNK_CVS + 16), 16)
}

/** Begin an input longer than the window. */
export function begin(): void {
  windows = 0
}

/** Absorb a full window, after which more must follow. */
export function absorb(): void {
  // A stack of complete subtrees has one for each one in the binary number of windows.
  let depth = popcnt(windows)
  pushPart(WINDOW_CHUNKS * CHUNK_BYTES, depth)
  windows++
  for (; depth >= popcnt(windows); depth--) {
    const children = STACK + CV_BYTES * (depth - 1)
    hashParent(children, 0, children)
  }
}

/** End the input with the last `length` bytes of it, at least one, and write the first digest. */
export function finish(length: u32): void {
  let depth = popcnt(windows)
  pushPart(length, depth)
  for (; depth > 1; depth--) {
    const children = STACK + CV_BYTES * (depth - 1)
    hashParent(children, 0, children)
  }
  hashParent(STACK, ROOT, DIGESTS)
}
