//! Against a real Apache Kafka 4.3.1: its own log beside ours, its tools and its broker on our files.
//!
//! All of it is ignored by plain `cargo test`, since it takes Java and Maven; `.ci/run` runs it where they are:
//!
//! ```sh
//! cargo test --release --all-features --test kafka -- --ignored --nocapture --test-threads=1
//! ```
//!
//! - `differential`: random operations, from a seed, on Kafka's `UnifiedLog` and on `disk::LogFile`. `OTTLA_ORACLE_SEED`
//!   is the first seed, `OTTLA_ORACLE_OPS` how many operations each gives, `OTTLA_ORACLE_TOTAL` how many are to be
//!   compared in all (20,000), `OTTLA_ORACLE_SEEDS` after how many seeds to end whatever their sum; `OTTLA_ORACLE_SCRIPT`
//!   names a file with a script, as a failed run prints it, to be run instead; `OTTLA_ORACLE_SHRINK` is how many runs
//!   making a failed script short may take, and `OTTLA_ORACLE_KEEP` a new folder for the files of one. `compare::MEANT` lists where the two are meant to differ, and why.
//! - `damaged`: directories that Kafka loses records of, or does not open. `written` and `readers`: Kafka's tools, its
//!   broker and its clients on files of ours, and each side on the other's batches. `metadata`: its broker on what our
//!   controller has decided. `queue`: a node on the directory of a closed queue, and the queue on what the node leaves. `page`:
//!   the commands of the documentation's page "When one machine is not enough", as they stand there.
//! - The rest of the rooms: `build` builds batches with our builder, `java` brings Kafka, `oracle` talks to it, `script` is what can be done, `generate` invents
//!   scripts, `world` turns a script's relative words into requests, `subject` is what both logs are asked, `compare`
//!   says whether two answers agree and where they are meant not to, `run` does a script to both, `shrink` makes it short.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "these tests look at real files and processes"
)]
#![expect(clippy::wildcard_enum_match_arm, reason = "what is not named needs nothing done, in a test")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]
#![expect(unreachable_pub, reason = "one program: nobody outside could reach anything")]

mod build;
mod compaction;
mod compare;
mod damaged;
mod differential;
mod files;
mod generate;
mod java;
mod kafka_log;
mod metadata;
mod node;
mod oracle;
mod ottla_log;
mod ottla_words;
mod page;
mod queue;
#[path = "../support/random.rs"]
mod random;
mod readers;
mod rng;
mod run;
mod script;
mod shrink;
mod subject;
mod tools;
mod world;
mod written;
