//! Record batches: Kafka's bytes, checked at the door and shared from then on.

mod attributes;
mod batch;
mod build;
mod compress;
mod entry;
mod header;
mod origin;
pub mod legacy;
mod record;
mod records;
mod stamp;
mod varint;

pub use attributes::{Attributes, Codec, TimestampType};
pub(crate) use batch::crc32c;
pub use batch::{Batch, BatchError, ProducerStamp};
pub use build::{BatchBuilder, BuildError, NewRecord};
pub use compress::{CodecError, DecompressLimit};
pub use entry::Entry;
pub use header::Header;
pub use origin::Origin;
pub use legacy::LegacyBatch;
pub use record::{HeaderIter, Headers, Record, RecordFault};
pub use records::{RecordError, RecordIter, Records};
pub use stamp::Stamp;
