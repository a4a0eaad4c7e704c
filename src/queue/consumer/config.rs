//! How a consumer reads: few settings, each with Kafka's name beside it.

use std::time::Duration;

use crate::consumer::{OffsetReset, PositionsConfig, Start};
use crate::id::GroupId;
use crate::message::IsolationLevel;
use crate::record::DecompressLimit;

/// How a consumer reads. [`ConsumerConfig::default`] is a sound choice for one that commits nothing,
/// [`ConsumerConfig::group`] for one that does.
///
/// ```
/// use ottla::consumer::OffsetReset;
/// use ottla::queue::ConsumerConfig;
///
/// let config = ConsumerConfig::group("billing").reset(OffsetReset::Latest).records_max(100);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConsumerConfig {
    pub(super) group: Option<String>,
    pub(super) isolation: IsolationLevel,
    pub(super) reset: OffsetReset,
    pub(super) begin: Option<Start>,
    pub(super) fetch_bytes_min: u32,
    pub(super) fetch_bytes_max: u32,
    pub(super) partition_bytes_max: u32,
    pub(super) fetch_wait_max: Duration,
    pub(super) records_max: u32,
    pub(super) retry_backoff: Duration,
    pub(super) request_timeout: Duration,
    pub(super) decompress_limit: DecompressLimit,
    pub(super) unacknowledged_max: Option<u64>,
}

/// Why there is no consumer with these settings.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumerConfigError {
    /// A group has no name.
    #[error("the name of the group is empty")]
    EmptyGroup,
    /// It would wait for more than it takes.
    #[error("a fetch waits for {bytes_min} bytes and takes at most {bytes_max}")]
    FetchBytes {
        /// What a fetch waits for.
        bytes_min: u32,
        /// What it takes.
        bytes_max: u32,
    },
    /// No record would ever be handed out.
    #[error("{setting} is 0, so that no record would ever be handed out")]
    Zero {
        /// Which setting.
        setting: &'static str,
    },
    /// It begins where its group has committed, and has no group.
    #[error("a consumer without a group cannot begin at what its group has committed")]
    BeginsAtNoGroup,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            group: None,
            isolation: IsolationLevel::ReadUncommitted,
            reset: OffsetReset::Earliest,
            begin: None,
            fetch_bytes_min: 1,
            fetch_bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            fetch_wait_max: Duration::from_millis(500),
            records_max: 500,
            retry_backoff: Duration::from_millis(100),
            request_timeout: Duration::from_secs(30),
            decompress_limit: DecompressLimit::default(),
            unacknowledged_max: None,
        }
    }
}

impl ConsumerConfig {
    /// Begins at what the group `name` has committed, and commits in its name: Kafka's `group.id`.
    ///
    /// A group is a name under which offsets are kept, and nothing more: there is one process, and partitions are not
    /// shared out among the consumers of a group. Each reads what it has subscribed to or was assigned.
    pub fn group(name: &str) -> Self {
        Self { group: Some(name.to_owned()), ..Self::default() }
    }

    /// How far to see, and whether to leave out what was aborted: `isolation.level`. Everything up to the high watermark
    /// by default.
    #[must_use]
    pub fn isolation(self, isolation: IsolationLevel) -> Self {
        Self { isolation, ..self }
    }

    /// Where to go on when the group has committed nothing, or the offset is gone: `auto.offset.reset`. At the first record
    /// there is by default, unlike Kafka's clients, which leave out whatever was there before them.
    #[must_use]
    pub fn reset(self, reset: OffsetReset) -> Self {
        Self { reset, ..self }
    }

    /// Where to begin in the partitions of a subscription. At what the group has committed by default; without a group as
    /// [`ConsumerConfig::reset`] says.
    #[must_use]
    pub fn begin(self, start: Start) -> Self {
        Self { begin: Some(start), ..self }
    }

    /// How many bytes there must be before a fetch is answered, or its time must be over: `fetch.min.bytes`. 1 by default;
    /// more makes fewer and larger answers, which come later.
    #[must_use]
    pub fn fetch_bytes_min(self, bytes: u32) -> Self {
        Self { fetch_bytes_min: bytes, ..self }
    }

    /// The most bytes of one answer to a fetch, except that its first batch comes whole: `fetch.max.bytes`. 50 MiB by
    /// default.
    #[must_use]
    pub fn fetch_bytes_max(self, bytes: u32) -> Self {
        Self { fetch_bytes_max: bytes, ..self }
    }

    /// The most bytes of one partition in one answer: `max.partition.fetch.bytes`. 1 MiB by default. A consumer keeps at most
    /// one answer for each partition, so this times their number bounds its memory.
    #[must_use]
    pub fn partition_bytes_max(self, bytes: u32) -> Self {
        Self { partition_bytes_max: bytes, ..self }
    }

    /// How long a fetch waits for its bytes: `fetch.max.wait.ms`. Half a second by default.
    #[must_use]
    pub fn fetch_wait_max(self, wait: Duration) -> Self {
        Self { fetch_wait_max: wait, ..self }
    }

    /// The most records of one poll: `max.poll.records`. 500 by default.
    #[must_use]
    pub fn records_max(self, records: u32) -> Self {
        Self { records_max: records, ..self }
    }

    /// How long to wait before something is asked again that could not be answered: `retry.backoff.ms`. A tenth of a second
    /// by default.
    #[must_use]
    pub fn retry_backoff(self, backoff: Duration) -> Self {
        Self { retry_backoff: backoff, ..self }
    }

    /// How long a commit, or a question for what is committed, is tried: `default.api.timeout.ms`. 30 seconds by default.
    #[must_use]
    pub fn request_timeout(self, timeout: Duration) -> Self {
        Self { request_timeout: timeout, ..self }
    }

    /// The most that the records of one batch may decompress to. What is larger is an error of the poll.
    #[must_use]
    pub fn decompress_limit(self, limit: DecompressLimit) -> Self {
        Self { decompress_limit: limit, ..self }
    }

    /// Keeps a ledger of what was handed out, for acknowledgements in any order, and hands out no more while `records` are
    /// not acknowledged. Without this nothing is noted.
    #[must_use]
    pub fn unacknowledged_max(self, records: u64) -> Self {
        Self { unacknowledged_max: Some(records), ..self }
    }

    /// What the machine of positions needs of it.
    pub(super) fn positions(&self) -> PositionsConfig {
        PositionsConfig {
            isolation: self.isolation,
            reset: self.reset,
            retry_backoff_ms: millis(self.retry_backoff),
            decompress_limit: self.decompress_limit,
        }
    }

    /// The group, and where subscriptions begin.
    pub(super) fn check(&self) -> Result<(Option<GroupId>, Start), ConsumerConfigError> {
        let (bytes_min, bytes_max) = (self.fetch_bytes_min, self.fetch_bytes_max);
        if bytes_min > bytes_max {
            return Err(ConsumerConfigError::FetchBytes { bytes_min, bytes_max });
        }
        let settings = [
            ("fetch_bytes_max", u64::from(bytes_max)),
            ("partition_bytes_max", u64::from(self.partition_bytes_max)),
            ("records_max", u64::from(self.records_max)),
            ("unacknowledged_max", self.unacknowledged_max.unwrap_or(1)),
        ];
        if let Some((setting, _)) = settings.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConsumerConfigError::Zero { setting });
        }
        let named = self.group.as_ref().map(|name| GroupId::new(name).ok_or(ConsumerConfigError::EmptyGroup));
        let group = named.transpose()?;
        match (&group, self.begin) {
            (None, Some(Start::Group(_))) => Err(ConsumerConfigError::BeginsAtNoGroup),
            (_, Some(start)) => Ok((group, start)),
            (Some(_), None) => Ok((group, Start::Group(self.reset))),
            (None, None) => Ok((group, Start::Committed(None))),
        }
    }
}

/// In whole milliseconds, rounded up: a wait that is not nothing does not become nothing.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
