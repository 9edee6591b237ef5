//! `write-random`, and the generator behind it.
//!
//! Everything follows from the seed, so that a failing comparison can be repeated.

use agent_store::WriterLog;
use serde_json::json;

use crate::json;
use crate::{store, Outcome};

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and good enough for test data.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1, the slight bias of the remainder accepted.
    /// `bound` must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn bytes(&mut self, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        bytes
    }
}

const STREAMS: [&str; 5] = ["s0", "s1", "conv:random", "流", ""];
const WRITERS: [&str; 4] = ["w0", "w1", "作者🖋", ""];
const LONGEST: usize = 3000;

/// Append `count` entries in one transaction. Lengths run from 0 to 3000: the least
/// of four draws, a fifth of that or 0, so that most are small.
pub fn write(path: &str, count: u64, seed: u64) -> Outcome {
    let db = store::create(path)?;
    let mut random = Random::new(seed);
    store::in_transaction(&db, || {
        for _ in 0..count {
            let stream = STREAMS[random.below(STREAMS.len())];
            let writer = WRITERS[random.below(WRITERS.len())];
            let size = size(&mut random);
            WriterLog::append(&db, stream, writer, &random.bytes(size))?;
        }
        Ok(())
    })?;
    store::checkpoint(&db)?;
    json::print(&json!({ "entries": count }))
}

fn size(random: &mut Random) -> usize {
    match random.below(32) {
        0 => 0,
        1 => random.below(LONGEST + 1),
        2..=16 => least(random, 4) / 5,
        _ => least(random, 4),
    }
}

/// The least of `draws` lengths.
fn least(random: &mut Random, draws: usize) -> usize {
    (0..draws).fold(LONGEST, |least, _| least.min(random.below(LONGEST + 1)))
}
