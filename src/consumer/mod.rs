//! The consumer: where it stands in its partitions, and what it has acknowledged.
//!
//! Client machines. They fetch nothing: who drives them asks what [`Positions::plan`] says, brings back the answers, and
//! hands out what [`Positions::poll`] gives.
//!
//! - [`Positions`]: the partitions a consumer reads and how far it has come in each; batches that were fetched, and the
//!   records in them that are for applications.
//! - [`Ledger`]: which records of a partition a pool of workers has not acknowledged; commit up to the lowest of them.
//!
//! - May use: the newtypes, `record`, `message`.
//! - Must not know: brokers, logs, threads, clocks.
//! - Always true: a position moves over records when they are handed out, not when they are fetched; what was fetched for a
//!   position that is no longer current is never handed out.

mod ledger;
mod positions;

pub use ledger::{Acknowledged, HandOutError, Ledger, OutOfOrder, TooMany};
pub(crate) use positions::Meter;
pub use positions::{
    Ask, AskFor, AskId, NotAssigned, OffsetReset, Pause, PollError, Polled, Positions, PositionsConfig, Start,
};
