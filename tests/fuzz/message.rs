//! Topic settings from any text, and committed offsets from any bytes.

use ottla::coordinator::offsets::{GroupOffsets, OffsetKey, OffsetValue};
use ottla::message::{ConfigKey, TopicConfig};

/// Any text as `key=value` lines. No panic; what is accepted comes back equal from its text, and what is set one
/// after the other, refused or not, is what its text says.
pub fn message_configs(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pairs: Vec<(&str, &str)> = text.lines().map(|line| line.split_once('=').unwrap_or((line, ""))).collect();
    if let Ok(config) = TopicConfig::from_pairs(pairs.iter().copied()) {
        assert_eq!(config.check(), Ok(()));
        comes_back(&config);
        let set = config.pairs().count();
        assert_eq!(set, pairs.len(), "every pair was set, and none twice");
    }
    let (config, refused) = TopicConfig::read_pairs(pairs.iter().copied());
    assert!(refused.len() <= pairs.len() + 1);
    for error in &refused {
        assert!(error.to_string().len() < 1024, "what is refused is not repeated at any length");
    }
    if config.check().is_ok() {
        comes_back(&config);
    }
    for (name, _) in pairs {
        if let Ok(key) = ConfigKey::named(name) {
            assert_eq!(key.name(), name);
        }
    }
}

fn comes_back(config: &TopicConfig) {
    let texts: Vec<(&str, String)> = config.pairs().map(|(key, value)| (key.name(), value)).collect();
    assert_eq!(TopicConfig::from_pairs(texts).as_ref(), Ok(config));
}

/// A key and a value of `__consumer_offsets`, of any bytes; the first byte says how long the key is. No panic; what is
/// accepted is written so that it reads back equal, and replaying it leaves what it says.
pub fn committed_offsets(data: &[u8]) {
    let Some((length, rest)) = data.split_first() else { return };
    let (key, value) = rest.split_at(rest.len().min(usize::from(*length)));
    let mut offsets = GroupOffsets::default();
    let replayed = offsets.replay(Some(key), Some(value));
    let parsed = OffsetValue::parse(value);
    if let Ok(value) = &parsed {
        let written = value.to_bytes().expect("what was read is not too long to be written");
        let again = OffsetValue::parse(&written).expect("what was written reads back");
        // What expires is written in a version that has no more than that.
        let kept = if value.expire_timestamp.is_some() { again.expire_timestamp } else { None };
        assert_eq!(
            (&again.committed.metadata, again.committed.offset),
            (&value.committed.metadata, value.committed.offset)
        );
        assert_eq!((again.commit_timestamp, kept), (value.commit_timestamp, value.expire_timestamp));
    }
    match OffsetKey::parse(key) {
        Ok(OffsetKey::Offset(at)) => {
            let written = at.to_key().expect("what was read is not too long to be written");
            assert_eq!(OffsetKey::parse(&written), Ok(OffsetKey::Offset(at.clone())));
            assert_eq!(replayed.is_ok(), parsed.is_ok());
            assert_eq!(offsets.committed(&at.group, &at.partition), parsed.as_ref().ok());
            offsets.replay(Some(key), None).expect("the key was read before");
            assert_eq!(offsets, GroupOffsets::default());
        }
        Ok(OffsetKey::Group(_) | OffsetKey::Other(_)) => assert_eq!(replayed, Ok(())),
        Err(error) => assert_eq!(replayed, Err(error)),
    }
}
