//! Record batches: Kafka's bytes, checked at the door and shared from then on.
//!
//! A [`Batch`] is parsed once; [`Batch::records`] reads it and a [`BatchBuilder`] writes one. [`Batch::check`] adds
//! what a topic demands. An [`Entry`] is what a log holds, formats before batch v2 included. [`ControlRecord`] reads
//! what is not for applications.
//!
//! - May use: the newtypes `offset`, `epoch`, `id` and `time`.
//! - Must not know: logs, files, clocks, threads; who holds an offset and who may write.
//! - Always true: the bytes of a [`Batch`] match their checksum, and are never patched; no length, count or size that
//!   bytes claim is believed before it has been compared with the bytes that are there, or with a limit.

mod attributes;
mod batch;
mod build;
mod check;
mod compress;
mod control;
mod entry;
mod fields;
mod header;
mod kept;
pub mod legacy;
mod origin;
mod records;
mod stamp;
mod varint;

pub use attributes::{Attributes, Codec, TimestampType};
pub(crate) use batch::crc32c;
pub use batch::{Batch, BatchError, ProducerStamp};
pub use build::{BatchBuilder, BuildError, NewRecord};
pub use check::{CheckError, Checked, Refusal, Refused, Rules, TopicCodec, check_all};
pub use compress::{CodecError, DecompressLimit};
pub use control::{ControlError, ControlRecord, ControlType, TransactionMarker, TransactionResult};
pub use entry::Entry;
pub use fields::{HeaderIter, Headers, Record, RecordFault};
pub use header::Header;
pub use legacy::LegacyBatch;
pub use origin::Origin;
pub use records::{RecordError, RecordIter, RecordMark, Records};
pub use stamp::Stamp;

#[cfg(test)]
mod tests;
