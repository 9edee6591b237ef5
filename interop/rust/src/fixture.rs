//! `write`: the fixture store, the same on every run, and its listing.
//!
//! It holds what a reader in another language is likely to get wrong: names that
//! are empty or not ASCII, payloads that are empty, not UTF-8 or full of NUL, hash
//! inputs at the edges of BLAKE3's 1024-byte chunks, counters that do not fit a
//! double. The listing has the shape of `rust-written.json`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use agent_store::{Generation, SqliteBackend, WriterLog};

use crate::json::{EntryRecord, FingerprintRecord};
use crate::random::Random;
use crate::versions;
use crate::{store, Outcome};

/// 2^53 + 1, the first integer that a double cannot hold.
const BEYOND_DOUBLE: u64 = 9_007_199_254_740_993;
/// 2^63 - 1, the last integer that SQLite can hold. A bump of it would break the counter.
const LAST_INTEGER: u64 = i64::MAX as u64;

pub fn write(path: &str, json_out: &str) -> Outcome {
    for file in [path.into(), sidecar(path, "-wal"), sidecar(path, "-shm")] {
        if file.exists() {
            return Err(format!("{}: exists already", file.display()).into());
        }
    }
    let db = store::create(path)?;
    append_entries(&db)?;
    set_counters(&db)?;
    store::checkpoint(&db)?;
    list(&db, json_out)?;
    // The last connection takes the -wal and -shm files with it.
    drop(db);
    for file in [sidecar(path, "-wal"), sidecar(path, "-shm")] {
        if file.exists() {
            return Err(format!("{}: left behind", file.display()).into());
        }
    }
    Ok(())
}

/// SQLite's name for a companion of the file at `path`.
fn sidecar(path: &str, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{path}{suffix}"))
}

fn append_entries(db: &SqliteBackend) -> Outcome {
    let mut random = Random::new(1);
    let append = |stream: &str, writer: &str, payload: &[u8]| -> Outcome {
        WriterLog::append(db, stream, writer, payload)?;
        Ok(())
    };

    // Two writers take turns on one stream: their logs interleave in the file.
    for turn in 1..=6 {
        append(
            "conv:demo",
            "alice",
            format!("alice's turn {turn}").as_bytes(),
        )?;
        append(
            "conv:demo",
            "bob",
            format!("{{\"turn\":{turn}}}").as_bytes(),
        )?;
    }

    // Names. The two forms of é are two logs, and so are names that differ in case.
    let names = [
        ("", ""),
        ("", "writer without stream"),
        ("stream without writer", ""),
        ("流:会話", "作者🖋"),
        ("👩‍👩‍👧‍👦", "𝒶𝓁𝒾𝒸ℯ"),
        ("caf\u{e9}", "\u{c9}mile"),
        ("cafe\u{301}", "E\u{301}mile"),
        ("עברית", "العربية"),
        ("\u{feff}bom", "\u{10ffff}\u{e000}"),
        ("Case", "Writer"),
        ("case", "writer"),
        (" ", "\t\r\n"),
        (
            "it's \"quoted\" \\ %_?;--",
            "'; DROP TABLE _agent_store_log; --",
        ),
        ("7", "007"),
    ];
    for (stream, writer) in names {
        append(stream, writer, format!("{stream}/{writer}").as_bytes())?;
        append(stream, writer, b"again")?;
    }

    // Payloads, in one chain. Empty ones come first, doubled and last.
    let payloads: [&[u8]; 16] = [
        b"",
        b"",
        "plain, then 你好 🦎".as_bytes(),
        b"\0",
        b"\0\0\0\0",
        b"a\0b",
        b"\xff",
        &[0xff; 64],
        b"\x80",             // a lone continuation byte
        b"\xc3\x28",         // a broken two-byte sequence
        b"\xc0\x80",         // an overlong NUL
        b"\xed\xa0\x80",     // a surrogate
        b"\xf4\x90\x80\x80", // beyond U+10FFFF
        b"\xef\xbb\xbfwith BOM",
        b"42", // stays a blob, whatever it looks like
        b"",
    ];
    for payload in payloads {
        append("payloads", "bytes", payload)?;
    }
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    append("payloads", "all bytes", &all_bytes)?;

    // Chunk edges. From the second entry on 32 bytes of hash precede the payload,
    // so the edge of the first chunk is at 992 there, but at 1024 in a first entry.
    for size in [
        63, 64, 65, 991, 992, 993, 1023, 1024, 1025, 2015, 2016, 2017,
    ] {
        append("chunks", "chained", &random.bytes(size))?;
    }
    for size in [1023, 1024, 1025, 2048, 2049] {
        append("chunks", &format!("first {size}"), &random.bytes(size))?;
    }

    // Payloads beyond one page and beyond many, and a short one behind them.
    append("large", "alice", &random.bytes(4 * 1024))?;
    append("large", "alice", &random.bytes(70 * 1024))?;
    append("large", "alice", b"after the large one")?;
    Ok(())
}

fn set_counters(db: &SqliteBackend) -> Outcome {
    let report = Generation::new("report");
    for _ in 0..5 {
        report.bump(db)?;
    }
    let set_then_bumped = Generation::new("set then bumped");
    set_then_bumped.set(db, 41)?;
    set_then_bumped.bump(db)?;
    Generation::new("").bump(db)?;
    Generation::new("カウンター🔢").bump(db)?;
    Generation::new("zero").set(db, 0)?;
    Generation::new("beyond-2^53").set(db, BEYOND_DOUBLE)?;
    Generation::new("last").set(db, LAST_INTEGER)?;
    Generation::new("last but one").set(db, LAST_INTEGER - 1)?;
    Ok(())
}

/// List the store, an entry a line, so that a change of the fixture reads well in a diff.
fn list(db: &SqliteBackend, json_out: &str) -> Outcome {
    let mut out = BufWriter::new(File::create(Path::new(json_out))?);
    let written_by = format!("agent-store {} (Rust)", versions::of("agent-store")?);
    write!(
        out,
        "{{\n \"writtenBy\": {},\n \"entries\": [",
        serde_json::to_string(&written_by)?
    )?;
    let mut separator = "\n  ";
    store::each_entry(db, |entry| {
        write!(
            out,
            "{separator}{}",
            serde_json::to_string(&EntryRecord::from(entry))?
        )?;
        separator = ",\n  ";
        Ok(())
    })?;
    let counters = serde_json::to_string(&store::counters(db)?)?;
    let counting_up: Vec<u8> = (0..32).collect();
    let fingerprints = [
        FingerprintRecord::of(&counting_up),
        FingerprintRecord::of(&[0; 32]),
        FingerprintRecord::of(&[0xff; 32]),
    ];
    write!(
        out,
        "\n ],\n \"generations\": {counters},\n \"fingerprints\": {}\n}}\n",
        serde_json::to_string(&fingerprints)?
    )?;
    out.flush()?;
    Ok(())
}
