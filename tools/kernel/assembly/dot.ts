/**
 * Inner products of one query with many packed codes, in 128-bit WebAssembly SIMD.
 *
 * The query has 16 bits a component and the codes have 8, so that one instruction multiplies eight
 * pairs and adds them in twos. A sum stays below 2^31 for up to 8,192 components, since the host
 * keeps a query within ±2,047 and codes within ±127.
 *
 * Nothing is allocated or imported. The host writes the query, and from `recordsAddress` on the
 * records, as far as it has let the memory grow.
 */

const MOST_COMPONENTS: u32 = 8192
const MOST_SCORES: u32 = 4096

const QUERY: usize = memory.data(2 * MOST_COMPONENTS, 16)
const SCORES: usize = memory.data(4 * MOST_SCORES, 16)

export const queryAddress: usize = QUERY
export const scoresAddress: usize = SCORES
export const mostComponents: u32 = MOST_COMPONENTS
export const mostScores: u32 = MOST_SCORES
/** Where the records begin: on a page of their own. */
export const recordsAddress: usize = 65536

/**
 * Score `count` records of `stride` bytes that begin at `at`, each with its code of `components`
 * bytes, a multiple of 16, behind `header` bytes.
 */
export function scan(at: usize, count: u32, stride: u32, header: u32, components: u32): void {
  let record = at + header
  for (let i: u32 = 0; i < count; i++) {
    let low = i32x4.splat(0)
    let high = i32x4.splat(0)
    for (let c: u32 = 0; c < components; c += 16) {
      const query = QUERY + 2 * c
      low = i32x4.add(
        low,
        i32x4.dot_i16x8_s(v128.load(query), v128.load_ext<i8>(record + c)),
      )
      high = i32x4.add(
        high,
        i32x4.dot_i16x8_s(v128.load(query, 16), v128.load_ext<i8>(record + c, 8)),
      )
    }
    const sum = i32x4.add(low, high)
    store<i32>(
      SCORES + 4 * i,
      i32x4.extract_lane(sum, 0) +
        i32x4.extract_lane(sum, 1) +
        i32x4.extract_lane(sum, 2) +
        i32x4.extract_lane(sum, 3),
    )
    record += stride
  }
}
