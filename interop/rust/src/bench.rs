//! `bench`: a worker that a benchmark drives line by line, so that rounds of the
//! crate and rounds of JavaScript alternate on the same machine state.
//!
//! Each line of stdin is one JSON command, each line of stdout its answer:
//! `{"ns": nanoseconds, "ops": operations, "rss": bytes}`, or `{"error": text}`,
//! after which the worker goes on. Only calls of the crate are inside the clock;
//! payloads, names and choices are made before it starts. `rss` is the greatest
//! resident size since the command began, what earlier ones left behind included.

use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use agent_store::{Generation, SqliteBackend, WriterLog};
use rusqlite::params;
use serde::Deserialize;
use serde_json::{json, Value};

use crate::random::Random;
use crate::{json, store, versions};
use crate::{Failure, Outcome};

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
enum Command {
    /// `SqliteBackend::open` and both schemas, then the pragma; all inside the clock.
    Open {
        path: String,
        #[serde(default)]
        synchronous: Synchronous,
    },
    /// Appends to one log, each its own commit.
    Append {
        stream: String,
        writer: String,
        count: usize,
        size: usize,
    },
    /// Appends to stream "s", each by a random one of `writers`, each its own commit.
    AppendRandom {
        writers: usize,
        count: usize,
        size: usize,
        seed: u64,
    },
    Bump {
        key: String,
        count: usize,
    },
    Head {
        stream: String,
        writer: String,
        count: usize,
    },
    /// One call; `ops` is its rows. Freeing them is outside the clock.
    Entries {
        stream: String,
        writer: String,
    },
    /// One call; `ops` is its rows.
    Verify {
        stream: String,
        writer: String,
    },
    /// Appends by `writers` in turn, in one transaction; then, outside the clock, a checkpoint.
    Fill {
        stream: String,
        writers: usize,
        count: usize,
        size: usize,
    },
    /// The floor: a prepared INSERT of the same six columns, each its own commit.
    RawInsert {
        count: usize,
        size: usize,
    },
    Close {},
    Info {},
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Synchronous {
    #[default]
    Normal,
    Full,
}

impl Synchronous {
    /// The name, and the number by which SQLite reports it.
    fn pragma(self) -> (&'static str, i64) {
        match self {
            Self::Normal => ("NORMAL", 1),
            Self::Full => ("FULL", 2),
        }
    }
}

/// What was measured: how long, and how many operations.
struct Measured {
    elapsed: Duration,
    ops: u64,
}

impl Measured {
    fn since(start: Instant, ops: usize) -> Self {
        Self {
            elapsed: start.elapsed(),
            ops: ops as u64,
        }
    }
}

pub fn serve() -> Outcome {
    let mut worker = Worker::default();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = worker
            .answer(&line)
            .unwrap_or_else(|error| json!({ "error": error.to_string() }));
        json::line(&mut out, &answer)?;
        out.flush()?;
    }
    Ok(())
}

#[derive(Default)]
struct Worker {
    db: Option<SqliteBackend>,
}

impl Worker {
    fn answer(&mut self, line: &str) -> Result<Value, Failure> {
        let command: Command = serde_json::from_str(line)?;
        if let Command::Info {} = command {
            return versions::all();
        }
        reset_peak();
        let Measured { elapsed, ops } = self.measure(command)?;
        let mut answer = json!({ "ns": u64::try_from(elapsed.as_nanos())?, "ops": ops });
        if let Some(bytes) = peak_resident() {
            answer["rss"] = bytes.into();
        }
        Ok(answer)
    }

    fn measure(&mut self, command: Command) -> Result<Measured, Failure> {
        match command {
            Command::Open { path, synchronous } => self.open(&path, synchronous),
            Command::Close {} => self.close(),
            Command::Append {
                stream,
                writer,
                count,
                size,
            } => append(self.db()?, &stream, &writer, count, size),
            Command::AppendRandom {
                writers,
                count,
                size,
                seed,
            } => append_random(self.db()?, writers, count, size, seed),
            Command::Bump { key, count } => bump(self.db()?, &key, count),
            Command::Head {
                stream,
                writer,
                count,
            } => head(self.db()?, &stream, &writer, count),
            Command::Entries { stream, writer } => entries(self.db()?, &stream, &writer),
            Command::Verify { stream, writer } => verify(self.db()?, &stream, &writer),
            Command::Fill {
                stream,
                writers,
                count,
                size,
            } => fill(self.db()?, &stream, writers, count, size),
            Command::RawInsert { count, size } => raw_insert(self.db()?, count, size),
            Command::Info {} => Err("info is not measured".into()),
        }
    }

    fn db(&self) -> Result<&SqliteBackend, Failure> {
        self.db.as_ref().ok_or_else(|| "no store is open".into())
    }

    fn open(&mut self, path: &str, synchronous: Synchronous) -> Result<Measured, Failure> {
        if self.db.is_some() {
            return Err("a store is open already".into());
        }
        let (name, number) = synchronous.pragma();
        let start = Instant::now();
        let db = store::create(path)?;
        db.connection().pragma_update(None, "synchronous", name)?;
        let measured = Measured::since(start, 1);
        let active: i64 = db
            .connection()
            .pragma_query_value(None, "synchronous", |row| row.get(0))?;
        if active != number {
            return Err(format!("synchronous is {active}, not {name}").into());
        }
        self.db = Some(db);
        Ok(measured)
    }

    fn close(&mut self) -> Result<Measured, Failure> {
        let db = self.db.take().ok_or("no store is open")?;
        let start = Instant::now();
        drop(db);
        Ok(Measured::since(start, 1))
    }
}

fn append(
    db: &SqliteBackend,
    stream: &str,
    writer: &str,
    count: usize,
    size: usize,
) -> Result<Measured, Failure> {
    let payloads = Payloads::new(count, size);
    let start = Instant::now();
    for payload in payloads.take(count) {
        black_box(WriterLog::append(db, stream, writer, payload)?);
    }
    Ok(Measured::since(start, count))
}

fn append_random(
    db: &SqliteBackend,
    writers: usize,
    count: usize,
    size: usize,
    seed: u64,
) -> Result<Measured, Failure> {
    let names = writer_names(writers)?;
    let mut random = Random::new(seed);
    let chosen: Vec<&str> = (0..count)
        .map(|_| names[random.below(names.len())].as_str())
        .collect();
    let payloads = Payloads::new(count, size);
    let start = Instant::now();
    for (writer, payload) in chosen.into_iter().zip(payloads.take(count)) {
        black_box(WriterLog::append(db, "s", writer, payload)?);
    }
    Ok(Measured::since(start, count))
}

fn bump(db: &SqliteBackend, key: &str, count: usize) -> Result<Measured, Failure> {
    let generation = Generation::new(key);
    let start = Instant::now();
    for _ in 0..count {
        black_box(generation.bump(db)?);
    }
    Ok(Measured::since(start, count))
}

fn head(db: &SqliteBackend, stream: &str, writer: &str, count: usize) -> Result<Measured, Failure> {
    if WriterLog::head(db, stream, writer)?.is_none() {
        return Err(format!("the log of {writer:?} on {stream:?} is empty").into());
    }
    let start = Instant::now();
    for _ in 0..count {
        black_box(WriterLog::head(db, stream, writer)?);
    }
    Ok(Measured::since(start, count))
}

fn entries(db: &SqliteBackend, stream: &str, writer: &str) -> Result<Measured, Failure> {
    let start = Instant::now();
    let entries = WriterLog::entries(db, stream, writer)?;
    let mut touched = 0u64;
    for entry in &entries {
        touched += u64::from(entry.payload.first().copied().unwrap_or(0));
        touched += u64::from(entry.content_hash[0]);
    }
    black_box(touched);
    Ok(Measured::since(start, entries.len()))
}

fn verify(db: &SqliteBackend, stream: &str, writer: &str) -> Result<Measured, Failure> {
    let start = Instant::now();
    WriterLog::verify(db, stream, writer)?;
    let elapsed = start.elapsed();
    // Afterwards, lest the count warm the cache for the call.
    let ops = store::count(db, stream, writer)?;
    Ok(Measured { elapsed, ops })
}

fn fill(
    db: &SqliteBackend,
    stream: &str,
    writers: usize,
    count: usize,
    size: usize,
) -> Result<Measured, Failure> {
    let names = writer_names(writers)?;
    let payloads = Payloads::new(count, size);
    let start = Instant::now();
    store::in_transaction(db, || {
        for (writer, payload) in names.iter().cycle().zip(payloads.take(count)) {
            WriterLog::append(db, stream, writer, payload)?;
        }
        Ok(())
    })?;
    let measured = Measured::since(start, count);
    store::checkpoint(db)?;
    Ok(measured)
}

fn raw_insert(db: &SqliteBackend, count: usize, size: usize) -> Result<Measured, Failure> {
    let connection = db.connection();
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS _interop_raw (\
         stream TEXT NOT NULL, writer TEXT NOT NULL, seq INTEGER NOT NULL, \
         prev_hash BLOB, content_hash BLOB NOT NULL, payload BLOB NOT NULL, \
         PRIMARY KEY (stream, writer, seq))",
    )?;
    let last: i64 = connection.query_row(
        "SELECT coalesce(max(seq), 0) FROM _interop_raw WHERE stream = 's' AND writer = 'w0'",
        [],
        |row| row.get(0),
    )?;
    let mut random = Random::new(2);
    let (prev_hash, content_hash) = (random.bytes(32), random.bytes(32));
    let payloads = Payloads::new(count, size);
    let mut insert = connection.prepare(
        "INSERT INTO _interop_raw (stream, writer, seq, prev_hash, content_hash, payload) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    let start = Instant::now();
    for (seq, payload) in (last + 1..).zip(payloads.take(count)) {
        insert.execute(params!["s", "w0", seq, prev_hash, content_hash, payload])?;
    }
    Ok(Measured::since(start, count))
}

fn writer_names(writers: usize) -> Result<Vec<String>, Failure> {
    if writers == 0 {
        return Err("writers must be at least 1".into());
    }
    Ok((0..writers).map(|index| format!("w{index}")).collect())
}

/// Random payloads, made once and handed out in turn.
struct Payloads(Vec<Vec<u8>>);

impl Payloads {
    /// At most this many, and at most about this many bytes in all, but at least one.
    const MOST: usize = 256;
    const MOST_BYTES: usize = 16 * 1024 * 1024;

    fn new(count: usize, size: usize) -> Self {
        let fitting = Self::MOST_BYTES / size.max(1);
        let mut random = Random::new(1);
        let made = count.min(Self::MOST).min(fitting).max(1);
        Self((0..made).map(|_| random.bytes(size)).collect())
    }

    fn take(&self, count: usize) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice).cycle().take(count)
    }
}

/// Let the kernel count the peak from now on; where it cannot, the peak is the process's.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The peak of the resident size in bytes, where there is a `/proc`.
fn peak_resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
