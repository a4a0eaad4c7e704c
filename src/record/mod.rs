//! Record batches: Kafka's bytes, checked at the door and shared from then on.

mod attributes;
mod batch;
mod header;
mod stamp;

pub use attributes::{Attributes, Codec, TimestampType};
pub(crate) use batch::crc32c;
pub use batch::{Batch, BatchError, ProducerStamp};
pub use header::Header;
pub use stamp::Stamp;
