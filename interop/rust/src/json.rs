//! The JSON shapes that the JavaScript side reads, and the way they are printed.

use std::collections::BTreeMap;
use std::io::Write;

use agent_store::{Entry, Fingerprint};
use serde::Serialize;

use crate::Outcome;

/// One entry, as in `rust-written.json` and as one line of `dump`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryRecord<'a> {
    stream: &'a str,
    writer: &'a str,
    seq: String,
    prev_hash: Option<String>,
    content_hash: String,
    payload_hex: String,
}

impl<'a> From<&'a Entry> for EntryRecord<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            stream: &entry.stream,
            writer: &entry.writer,
            seq: entry.seq.to_string(),
            prev_hash: entry.prev_hash.map(|hash| hex(&hash)),
            content_hash: hex(&entry.content_hash),
            payload_hex: hex(&entry.payload),
        }
    }
}

/// Counters by key, as decimal strings.
pub type Counters = BTreeMap<String, String>;

/// A public key and the fingerprint the crate derives from it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FingerprintRecord {
    pubkey_hex: String,
    hex: String,
}

impl FingerprintRecord {
    pub fn of(pubkey: &[u8]) -> Self {
        Self {
            pubkey_hex: hex(pubkey),
            hex: Fingerprint::from_ed25519_pubkey(pubkey).to_hex(),
        }
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Write `value` as one line. A closed pipe is an error here, not a panic.
pub fn line(out: &mut impl Write, value: &impl Serialize) -> Outcome {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Print `value` as the one line of a subcommand's answer.
pub fn print(value: &impl Serialize) -> Outcome {
    let mut out = std::io::stdout().lock();
    line(&mut out, value)?;
    out.flush()?;
    Ok(())
}
