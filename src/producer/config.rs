//! How a producer gathers, sends and gives up.

use crate::record::{Codec, CodecError};

/// How a producer gathers, sends and gives up. The defaults are those of Kafka's producer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AccumulatorConfig {
    /// `batch.size`: a batch is full before it would grow past this, uncompressed. A larger record gets one of its own.
    pub batch_bytes: u32,
    /// `linger.ms`: how long a batch waits for more records before it is full.
    pub linger_ms: u64,
    /// `max.request.size`: the largest record, in a batch of its own.
    pub record_bytes_max: u32,
    /// `buffer.memory`: how many bytes of records may be waiting or on their way, uncompressed. What is allocated for
    /// them is at most twice as much.
    pub memory_bytes: u64,
    /// What happens to a record for which there is no room.
    pub when_full: WhenFull,
    /// `delivery.timeout.ms`: how long a batch may take from its first record to its acknowledgement.
    pub delivery_timeout_ms: u64,
    /// `retries`: how often a batch is sent again.
    pub retries: u32,
    /// `retry.backoff.ms`: how long a batch that came back waits. The next time twice as long.
    pub retry_backoff_ms: u64,
    /// `retry.backoff.max.ms`: how long it waits at most.
    pub retry_backoff_max_ms: u64,
    /// `max.in.flight.requests.per.connection`: how many batches of a partition may be on their way, 1 to 5. A broker
    /// remembers the last five of a producer, and so knows them when they come again.
    pub in_flight_max: u8,
    /// `compression.type`.
    pub codec: Codec,
    /// The level of compression; `None` for the codec's own default.
    pub level: Option<i32>,
}

impl Default for AccumulatorConfig {
    fn default() -> Self {
        Self {
            batch_bytes: 16_384,
            linger_ms: 5,
            record_bytes_max: 1 << 20,
            memory_bytes: 32 << 20,
            when_full: WhenFull::Block { wait_max_ms: 60_000 },
            delivery_timeout_ms: 120_000,
            retries: i32::MAX as u32,
            retry_backoff_ms: 100,
            retry_backoff_max_ms: 1000,
            in_flight_max: 5,
            codec: Codec::None,
            level: None,
        }
    }
}

/// What happens to a record for which there is no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhenFull {
    /// Whoever brings it waits: Kafka's way, `max.block.ms`.
    Block {
        /// How long.
        wait_max_ms: u64,
    },
    /// It is refused.
    Fail,
    /// The oldest batch that was not sent is dropped for it.
    DropOldest,
}

/// Why a configuration was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A broker recognises the last five batches of a producer, so no more may be on their way.
    #[error("in_flight_max {found} is not within 1 and 5")]
    InFlight {
        /// What was given.
        found: u8,
    },
    /// A batch would have no time to be sent.
    #[error("delivery_timeout_ms {delivery} must be larger than linger_ms {linger}")]
    DeliveryTimeout {
        /// `delivery_timeout_ms`.
        delivery: u64,
        /// `linger_ms`.
        linger: u64,
    },
    /// This build cannot compress so.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl AccumulatorConfig {
    /// Checks what only makes sense together, and that this build has the codec and its level.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], the first that is found.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(1..=5).contains(&self.in_flight_max) {
            return Err(ConfigError::InFlight { found: self.in_flight_max });
        }
        if self.delivery_timeout_ms <= self.linger_ms {
            return Err(ConfigError::DeliveryTimeout { delivery: self.delivery_timeout_ms, linger: self.linger_ms });
        }
        self.codec.compress(self.level, b"", &mut Vec::new())?;
        Ok(())
    }

    /// How long a batch that came back for the `attempt`th time waits, 1 being the first.
    pub(crate) fn backoff_ms(&self, attempt: u32) -> u64 {
        let doublings = attempt.saturating_sub(1).min(32);
        // Not at once: a refusal that comes at once would be tried again without end.
        self.retry_backoff_ms.saturating_mul(1 << doublings).min(self.retry_backoff_max_ms).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        let default = AccumulatorConfig::default();
        assert_eq!(default.check(), Ok(()));
        for found in [0, 6] {
            let config = AccumulatorConfig { in_flight_max: found, ..default };
            assert_eq!(config.check(), Err(ConfigError::InFlight { found }));
        }
        let hasty = AccumulatorConfig { delivery_timeout_ms: 5, ..default };
        assert_eq!(hasty.check(), Err(ConfigError::DeliveryTimeout { delivery: 5, linger: 5 }));
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn a_level_that_the_codec_lacks_is_refused_before_a_record_is_taken() {
        let config = AccumulatorConfig { codec: Codec::Gzip, level: Some(99), ..AccumulatorConfig::default() };
        assert!(matches!(config.check(), Err(ConfigError::Codec(CodecError::Level { .. }))));
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let config = AccumulatorConfig::default();
        assert_eq!(
            [1, 2, 3, 4, 5, u32::MAX].map(|attempt| config.backoff_ms(attempt)),
            [100, 200, 400, 800, 1000, 1000]
        );
    }
}
