//! `.kafka_cleanshutdown`: that a directory of logs was closed in peace.

/// The content of `.kafka_cleanshutdown`. That the file exists is what counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CleanShutdown {
    /// The epoch of the broker that closed the logs, if the file tells: that of old brokers is empty.
    pub broker_epoch: Option<u64>,
}

impl CleanShutdown {
    /// Reads the file. Never fails: what cannot be read is an epoch that is not known.
    pub fn parse(bytes: &[u8]) -> Self {
        Self { broker_epoch: std::str::from_utf8(bytes).ok().and_then(broker_epoch) }
    }

    /// The content of the file.
    pub fn encode(self) -> Vec<u8> {
        let epoch = self.broker_epoch.map_or(-1, |epoch| i64::try_from(epoch).unwrap_or(i64::MAX));
        format!("{{\"version\":0,\"brokerEpoch\":{epoch}}}").into_bytes()
    }
}

/// The epoch in an object of JSON, all of whose values are numbers.
fn broker_epoch(text: &str) -> Option<u64> {
    let members = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let epoch = members.split(',').find_map(|member| {
        let (key, value) = member.split_once(':')?;
        (key.trim() == "\"brokerEpoch\"").then_some(value)
    })?;
    u64::try_from(epoch.trim().parse::<i64>().ok()?).ok()
}
