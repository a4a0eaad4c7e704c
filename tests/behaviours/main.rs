//! What Apache Kafka's own tests say of a log, a partition and timers, each as a test that names its id, through the public
//! API.
//!
//! The ids are those of `SEG`, `LOG`, `REC`, `CHK`, `VAL`, `PID`, `EPO`, `REP`, `PUR`, `PRD`, `CON`, `OFF` and `CTL` as far as
//! they concern one node, and `TMR`; each room holds one or two of the families. `waits` adds what ottla promises beside them.
//! Where ottla means to do something else than Kafka, the test shows what it does instead, and ARCHITECTURE.md says why.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod append;
mod checkpoint;
mod consumer;
mod controller;
mod node;
mod offsets;
mod partition;
mod producer;
mod producer_client;
mod purgatory;
mod read;
mod recovery;
mod retention;
mod roll;
mod segment;
mod support;
mod timer;
mod truncate;
mod waits;
