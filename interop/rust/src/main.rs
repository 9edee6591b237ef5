//! The Rust side of the interop tests and of the benchmark.
//!
//! Every store file is written and read by the real crate `agent-store`; SQL of
//! our own only finds names and counts rows. Results go to stdout as JSON, an
//! error to stderr with exit status 1. Counters and sequence numbers are decimal
//! strings, because JSON numbers lose integers beyond 2^53 in JavaScript; names
//! that SQLite holds as anything but UTF-8 text are refused, not repaired.

mod bench;
mod fixture;
mod json;
mod random;
mod store;
mod versions;

use std::process::ExitCode;

/// Any failure, as the text that goes to stderr.
type Failure = Box<dyn std::error::Error>;
type Outcome = Result<(), Failure>;

const USAGE: &str = "usage:
  interop write <db> <json-out>                    write the fixture store and list it
  interop write-random <db> <count> <seed>         append random entries
  interop dump <db>                                every entry, one JSON line each
  interop verify <db>                              verify every log
  interop generations <db>                         every counter
  interop append <db> <stream> <writer> <payload>  one WriterLog::append
  interop bump <db> <key>                          one Generation::bump
  interop bench                                    a worker: one JSON command a line on stdin
  interop info                                     versions";

fn run(args: &[&str]) -> Outcome {
    match args {
        ["write", db, json_out] => fixture::write(db, json_out),
        ["write-random", db, count, seed] => {
            random::write(db, number("count", count)?, number("seed", seed)?)
        }
        ["dump", db] => store::dump(db),
        ["verify", db] => store::verify(db),
        ["generations", db] => store::generations(db),
        ["append", db, stream, writer, payload] => store::append(db, stream, writer, payload),
        ["bump", db, key] => store::bump(db, key),
        ["bench"] => bench::serve(),
        ["info"] => versions::print(),
        _ => Err(USAGE.into()),
    }
}

fn number(label: &str, text: &str) -> Result<u64, Failure> {
    text.parse()
        .map_err(|error| format!("{label} {text:?}: {error}").into())
}

/// The arguments as UTF-8; the crate takes nothing else as a name.
fn arguments() -> Result<Vec<String>, Failure> {
    std::env::args_os()
        .skip(1)
        .map(|arg| {
            arg.into_string()
                .map_err(|arg| format!("argument {arg:?} is not UTF-8").into())
        })
        .collect()
}

fn main() -> ExitCode {
    let outcome = arguments().and_then(|args| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run(&args)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("interop: {error}");
            ExitCode::FAILURE
        }
    }
}
