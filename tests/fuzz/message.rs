//! Topic settings from any text.

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
