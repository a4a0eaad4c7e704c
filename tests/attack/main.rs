//! Attacks on one log: crashes at every call, faults at every call, rot in every bit, random operations, bad input.
//!
//! `world` runs a workload and knows what each step must leave; every other module is one way to disturb it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod crash;
mod faults;
mod found;
mod model;
#[path = "../support/random.rs"]
mod random;
mod script;
mod world;
