//! How a producer of a queue works.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::id::TopicName;
use crate::message::{Acks, Durability};
use crate::producer::{AccumulatorConfig, ConfigError, Partitioner, WhenFull};
use crate::record::Codec;

/// How a producer gathers records into batches, sends them, and gives up. The defaults are those of Kafka's producer, but
/// that a record is acknowledged when it is flushed.
///
/// ```
/// use std::time::Duration;
/// use ottla::message::Durability;
/// use ottla::queue::ProducerConfig;
///
/// let config = ProducerConfig::default().linger(Duration::ZERO).durability(Durability::Written);
/// # let _ = config;
/// ```
#[derive(Clone, Debug, Default)]
pub struct ProducerConfig {
    pub(super) gathering: AccumulatorConfig,
    pub(super) acks: Acks,
    pub(super) durability: Durability,
    pub(super) request_timeout: RequestTimeout,
    pub(super) partitioning: Partitioning,
    pub(super) seed: Option<u64>,
}

/// `request.timeout.ms`.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestTimeout {
    pub(super) millis: u32,
}

impl Default for RequestTimeout {
    fn default() -> Self {
        Self { millis: 30_000 }
    }
}

/// Which partition a record goes to that names none.
#[derive(Clone, Default)]
pub enum Partitioning {
    /// By the hash of its key, as Kafka's clients do; without a key the same partition for a batch's worth of bytes, then
    /// another.
    #[default]
    ByKey,
    /// One partition after the other.
    RoundRobin,
    /// Any, each as likely as another.
    Random,
    /// Always this one.
    Explicit(u32),
    /// As your own partitioner says; one is made for each topic. It is asked under a lock, so it should be quick.
    Custom(NewPartitioner),
}

/// Makes a partitioner for the topic of this name.
pub type NewPartitioner = Arc<dyn Fn(&TopicName) -> Box<dyn Partitioner + Send> + Send + Sync>;

impl fmt::Debug for Partitioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByKey => f.write_str("ByKey"),
            Self::RoundRobin => f.write_str("RoundRobin"),
            Self::Random => f.write_str("Random"),
            Self::Explicit(partition) => f.debug_tuple("Explicit").field(partition).finish(),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

impl ProducerConfig {
    /// A producer that gathers as `gathering` says.
    #[must_use]
    pub fn gathering(self, gathering: AccumulatorConfig) -> Self {
        Self { gathering, ..self }
    }

    /// `batch.size`: a batch is full before it would grow past this, uncompressed. A larger record gets one of its own.
    #[must_use]
    pub fn batch_bytes(self, batch_bytes: u32) -> Self {
        self.gather(|gathering| gathering.batch_bytes = batch_bytes)
    }

    /// `linger.ms`: how long a batch waits for more records before it is sent; in whole milliseconds. Without any, a batch is
    /// sent as soon as fewer than `in_flight_max` are on their way.
    #[must_use]
    pub fn linger(self, linger: Duration) -> Self {
        self.gather(|gathering| gathering.linger_ms = millis(linger))
    }

    /// `max.request.size`: the largest record, in a batch of its own.
    #[must_use]
    pub fn record_bytes_max(self, record_bytes_max: u32) -> Self {
        self.gather(|gathering| gathering.record_bytes_max = record_bytes_max)
    }

    /// `buffer.memory`: how many bytes of records may be waiting or on their way, uncompressed. What is allocated for them is
    /// at most twice as much.
    #[must_use]
    pub fn memory_bytes(self, memory_bytes: u64) -> Self {
        self.gather(|gathering| gathering.memory_bytes = memory_bytes)
    }

    /// What happens to a record for which there is no memory.
    #[must_use]
    pub fn when_full(self, when_full: WhenFull) -> Self {
        self.gather(|gathering| gathering.when_full = when_full)
    }

    /// `delivery.timeout.ms`: how long a batch may take from its first record to its acknowledgement; in whole milliseconds.
    #[must_use]
    pub fn delivery_timeout(self, timeout: Duration) -> Self {
        self.gather(|gathering| gathering.delivery_timeout_ms = millis(timeout))
    }

    /// `retries`: how often a batch is sent again. A full disk is a reason to: who does not want to wait for space wants none, and
    /// is told [`SendError::DiskFull`](crate::producer::SendError::DiskFull) at once.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        self.gather(|gathering| gathering.retries = retries)
    }

    /// `retry.backoff.ms`, `retry.backoff.max.ms`: how long a batch that came back waits, the next time twice as long, and how
    /// long at most; in whole milliseconds.
    #[must_use]
    pub fn retry_backoff(self, first: Duration, max: Duration) -> Self {
        self.gather(|gathering| {
            gathering.retry_backoff_ms = millis(first);
            gathering.retry_backoff_max_ms = millis(max);
        })
    }

    /// `max.in.flight.requests.per.connection`: how many batches of a partition may be on their way, 1 to 5.
    #[must_use]
    pub fn in_flight_max(self, in_flight_max: u8) -> Self {
        self.gather(|gathering| gathering.in_flight_max = in_flight_max)
    }

    /// `compression.type`.
    #[must_use]
    pub fn codec(self, codec: Codec) -> Self {
        self.gather(|gathering| gathering.codec = codec)
    }

    /// The level of compression, where it is not to be the codec's own default.
    #[must_use]
    pub fn level(self, level: i32) -> Self {
        self.gather(|gathering| gathering.level = Some(level))
    }

    /// `acks`: who must have a batch before it is acknowledged. With [`Acks::None`] nobody says what has become of it: a ticket
    /// then tells that it was handed over, and nothing is sent twice. What is refused is lost then, also at a bound on space,
    /// whatever that says, and by a full disk: it is counted ([`Notes::refused`](crate::queue::Notes::refused)), and that is all.
    #[must_use]
    pub fn acks(self, acks: Acks) -> Self {
        Self { acks, ..self }
    }

    /// What "having it" means: a ticket tells of a record when it is flushed, or already when it is written. Not in Kafka.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// `request.timeout.ms`: how long a batch waits for [`Acks::All`] before it is sent again, under the same sequence; in whole
    /// milliseconds.
    #[must_use]
    pub fn request_timeout(self, timeout: Duration) -> Self {
        let millis = u32::try_from(millis(timeout)).unwrap_or(u32::MAX);
        Self { request_timeout: RequestTimeout { millis }, ..self }
    }

    /// Which partition a record goes to that names none.
    #[must_use]
    pub fn partitioning(self, partitioning: Partitioning) -> Self {
        Self { partitioning, ..self }
    }

    /// Goes to partitions as a partitioner of one's own says; one is made for each topic.
    #[must_use]
    pub fn partitioner<P>(self, new: impl Fn(&TopicName) -> P + Send + Sync + 'static) -> Self
    where
        P: Partitioner + Send + 'static,
    {
        self.partitioning(Partitioning::Custom(Arc::new(move |topic| Box::new(new(topic)))))
    }

    /// What the choices of partitioners follow from; the date, if it is not given.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.gathering.check()
    }

    fn gather(mut self, change: impl FnOnce(&mut AccumulatorConfig)) -> Self {
        change(&mut self.gathering);
        self
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
