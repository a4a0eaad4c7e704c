//! Apache Kafka's storage engine as a Rust library: a durable log in Kafka's own bytes.

#[cfg(feature = "cli")]
pub mod cli;
pub mod disk;
pub mod epoch;
pub mod id;
pub mod log;
pub mod offset;
pub mod record;
pub mod time;

/// The examples of the README, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
