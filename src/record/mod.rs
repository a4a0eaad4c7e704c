//! Record batches: Kafka's bytes, checked at the door and shared from then on.

mod attributes;
mod batch;
mod build;
mod check;
mod compress;
mod control;
mod entry;
mod fields;
mod header;
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
pub use records::{RecordError, RecordIter, Records};
pub use stamp::Stamp;

#[cfg(test)]
mod tests;
