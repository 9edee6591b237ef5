//! Opening a store, reading all of it through the crate, and single calls.
//!
//! The crate has no function that lists its logs or its counters, so the names
//! come from SQL; everything else is the crate's own reading.

use std::io::{BufWriter, Write};
use std::path::Path;

use agent_store::{Entry, Generation, SqliteBackend, WriterLog};
use serde_json::json;

use crate::json::{self, Counters, EntryRecord};
use crate::{Failure, Outcome};

/// Open a store to write to; the file is created where there is none.
pub fn create(path: &str) -> Result<SqliteBackend, Failure> {
    let db = SqliteBackend::open(Path::new(path))?;
    Generation::ensure_schema(&db)?;
    WriterLog::ensure_schema(&db)?;
    Ok(db)
}

/// Open a store to read. Creates neither a file nor a table, but, as the crate
/// does on every open, turns the file to WAL.
pub fn open_existing(path: &str) -> Result<SqliteBackend, Failure> {
    if !Path::new(path).is_file() {
        return Err(format!("{path}: no such file").into());
    }
    Ok(SqliteBackend::open(Path::new(path))?)
}

/// Run `work` in one write transaction; roll back where it fails.
pub fn in_transaction<T>(
    db: &SqliteBackend,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    db.connection().execute_batch("BEGIN IMMEDIATE")?;
    let done = work().and_then(|value| {
        db.connection().execute_batch("COMMIT")?;
        Ok(value)
    });
    if done.is_err() && !db.connection().is_autocommit() {
        db.connection().execute_batch("ROLLBACK")?;
    }
    done
}

/// Copy the WAL into the file and empty it. Fails where another connection is in the way.
pub fn checkpoint(db: &SqliteBackend) -> Outcome {
    let busy: i64 = db
        .connection()
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err("the checkpoint was blocked by another connection".into());
    }
    Ok(())
}

/// Every (stream, writer) pair that has an entry, in the order of the primary key.
pub fn logs(db: &SqliteBackend) -> Result<Vec<(String, String)>, Failure> {
    let mut statement = db
        .connection()
        .prepare("SELECT DISTINCT stream, writer FROM _agent_store_log ORDER BY stream, writer")?;
    let pairs = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(pairs)
}

/// The number of rows in one log, by SQL.
pub fn count(db: &SqliteBackend, stream: &str, writer: &str) -> Result<u64, Failure> {
    let rows: i64 = db.connection().query_row(
        "SELECT count(*) FROM _agent_store_log WHERE stream = ? AND writer = ?",
        [stream, writer],
        |row| row.get(0),
    )?;
    Ok(u64::try_from(rows)?)
}

/// Hand every entry of every log to `visit`; one log at a time is in memory.
pub fn each_entry(db: &SqliteBackend, mut visit: impl FnMut(&Entry) -> Outcome) -> Outcome {
    for (stream, writer) in logs(db)? {
        for entry in WriterLog::entries(db, &stream, &writer)? {
            visit(&entry)?;
        }
    }
    Ok(())
}

/// Every counter, read by `Generation::current`.
pub fn counters(db: &SqliteBackend) -> Result<Counters, Failure> {
    let mut statement = db
        .connection()
        .prepare("SELECT key FROM _agent_store_meta ORDER BY key")?;
    let keys: Vec<String> = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut counters = Counters::new();
    for key in keys {
        let value = Generation::new(key.as_str()).current(db)?;
        counters.insert(key, value.to_string());
    }
    Ok(counters)
}

pub fn dump(path: &str) -> Outcome {
    let db = open_existing(path)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    each_entry(&db, |entry| json::line(&mut out, &EntryRecord::from(entry)))?;
    out.flush()?;
    Ok(())
}

pub fn verify(path: &str) -> Outcome {
    let db = open_existing(path)?;
    let logs = logs(&db)?;
    let mut entries = 0;
    for (stream, writer) in &logs {
        WriterLog::verify(&db, stream, writer)?;
        entries += count(&db, stream, writer)?;
    }
    json::print(&json!({ "logs": logs.len(), "entries": entries }))
}

pub fn generations(path: &str) -> Outcome {
    json::print(&counters(&open_existing(path)?)?)
}

pub fn append(path: &str, stream: &str, writer: &str, payload: &str) -> Outcome {
    let db = create(path)?;
    let entry = WriterLog::append(&db, stream, writer, payload.as_bytes())?;
    json::print(&EntryRecord::from(&entry))
}

pub fn bump(path: &str, key: &str) -> Outcome {
    let db = create(path)?;
    let value = Generation::new(key).bump(&db)?;
    json::print(&json!({ "key": key, "value": value.to_string() }))
}
