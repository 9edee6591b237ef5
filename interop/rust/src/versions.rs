//! `info`: which SQLite and which crates this binary was built with.

use serde_json::{json, Value};

use crate::json;
use crate::{Failure, Outcome};

/// The versions that cargo chose; the crates do not name their own at run time.
const LOCK: &str = include_str!("../Cargo.lock");

/// The locked version of the crate `name`.
pub fn of(name: &str) -> Result<&'static str, Failure> {
    let wanted = format!("name = \"{name}\"");
    let mut lines = LOCK.lines().skip_while(|line| *line != wanted);
    lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .ok_or_else(|| format!("Cargo.lock names no version of {name}").into())
}

pub fn all() -> Result<Value, Failure> {
    Ok(json!({
        "sqlite": rusqlite::version(),
        "agentStore": of("agent-store")?,
        "rusqlite": of("rusqlite")?,
        "libsqlite3Sys": of("libsqlite3-sys")?,
        "blake3": of("blake3")?,
    }))
}

pub fn print() -> Outcome {
    json::print(&all()?)
}
