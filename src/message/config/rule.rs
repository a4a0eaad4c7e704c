//! What values a setting may have, and how they read as text.
//!
//! Text is trimmed first, as Kafka does.

use std::fmt;

use crate::message::config::policy::CleanupPolicy;
use crate::record::{Codec, TimestampType, TopicCodec};

/// The values of one setting.
pub(super) trait Rule<T> {
    /// The value of this text, `None` if it is not allowed.
    fn parse(&self, text: &str) -> Option<T>;
    /// The text of a value.
    fn text(&self, value: T) -> String;
    /// What is allowed, for people.
    fn allowed(&self) -> String;
}

/// Whole numbers between two, both inclusive.
pub(super) struct Whole {
    pub(super) min: i64,
    pub(super) max: i64,
}

impl Whole {
    /// Numbers from `min` on that fit Kafka's `int`.
    pub(super) const fn int(min: i64) -> Self {
        Self { min, max: i32::MAX as i64 }
    }

    /// Numbers from `min` on that fit Kafka's `long`.
    pub(super) const fn long(min: i64) -> Self {
        Self { min, max: i64::MAX }
    }

    fn number(&self, text: &str) -> Option<i64> {
        text.trim().parse().ok().filter(|number| (self.min..=self.max).contains(number))
    }
}

impl<T: TryFrom<i64> + fmt::Display> Rule<T> for Whole {
    fn parse(&self, text: &str) -> Option<T> {
        self.number(text)?.try_into().ok()
    }

    fn text(&self, value: T) -> String {
        value.to_string()
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }
}

/// Whole numbers from 0 on, of which anything from `min` up to -1 means "no limit".
pub(super) struct Limit {
    pub(super) min: i64,
}

impl Rule<Option<u64>> for Limit {
    fn parse(&self, text: &str) -> Option<Option<u64>> {
        Whole::long(self.min).number(text).map(|number| number.try_into().ok())
    }

    fn text(&self, value: Option<u64>) -> String {
        value.map_or_else(|| "-1".to_owned(), |number| number.to_string())
    }

    fn allowed(&self) -> String {
        "a whole number from 0 to 9223372036854775807, or -1 for no limit".to_owned()
    }
}

/// Whole numbers from 1 on, of which the largest means "never".
pub(super) struct OrNever;

impl Rule<Option<u64>> for OrNever {
    fn parse(&self, text: &str) -> Option<Option<u64>> {
        let number = Whole::long(1).number(text)?;
        Some(u64::try_from(number).ok().filter(|_| number != i64::MAX))
    }

    fn text(&self, value: Option<u64>) -> String {
        value.unwrap_or(i64::MAX as u64).to_string()
    }

    fn allowed(&self) -> String {
        "a whole number from 1 to 9223372036854775807, the last one meaning never".to_owned()
    }
}

/// gzip's own default, -1, or one of its levels.
pub(super) struct GzipLevel;

impl Rule<i32> for GzipLevel {
    fn parse(&self, text: &str) -> Option<i32> {
        Whole { min: -1, max: 9 }.parse(text).filter(|level| *level != 0)
    }

    fn text(&self, value: i32) -> String {
        value.to_string()
    }

    fn allowed(&self) -> String {
        "a whole number from 1 to 9, or -1".to_owned()
    }
}

/// A share of a whole.
pub(super) struct Ratio;

impl Rule<f64> for Ratio {
    fn parse(&self, text: &str) -> Option<f64> {
        text.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
    }

    fn text(&self, value: f64) -> String {
        value.to_string()
    }

    fn allowed(&self) -> String {
        "a number from 0 to 1".to_owned()
    }
}

/// Yes or no.
pub(super) struct Switch;

impl Rule<bool> for Switch {
    fn parse(&self, text: &str) -> Option<bool> {
        let text = text.trim();
        let is = |word: &str| text.eq_ignore_ascii_case(word);
        if is("true") { Some(true) } else { is("false").then_some(false) }
    }

    fn text(&self, value: bool) -> String {
        value.to_string()
    }

    fn allowed(&self) -> String {
        "true or false".to_owned()
    }
}

/// A list of what is done with old records.
pub(super) struct Policies;

impl Rule<CleanupPolicy> for Policies {
    fn parse(&self, text: &str) -> Option<CleanupPolicy> {
        CleanupPolicy::parse(text)
    }

    fn text(&self, value: CleanupPolicy) -> String {
        value.to_string()
    }

    fn allowed(&self) -> String {
        "a list of none, one or both of delete and compact".to_owned()
    }
}

/// Names that stand for values.
pub(super) struct Names<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Rule<T> for Names<T> {
    fn parse(&self, text: &str) -> Option<T> {
        let text = text.trim();
        self.0.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
    }

    fn text(&self, value: T) -> String {
        let found = self.0.iter().find(|(_, named)| *named == value);
        found.map_or_else(String::new, |(name, _)| (*name).to_owned())
    }

    fn allowed(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| *name).collect();
        format!("one of {}", names.join(", "))
    }
}

pub(super) const CODECS: Names<TopicCodec> = Names(&[
    ("producer", TopicCodec::Producer),
    ("uncompressed", TopicCodec::Fixed(Codec::None)),
    ("gzip", TopicCodec::Fixed(Codec::Gzip)),
    ("snappy", TopicCodec::Fixed(Codec::Snappy)),
    ("lz4", TopicCodec::Fixed(Codec::Lz4)),
    ("zstd", TopicCodec::Fixed(Codec::Zstd)),
]);

pub(super) const TIMESTAMP_TYPES: Names<TimestampType> =
    Names(&[("CreateTime", TimestampType::CreateTime), ("LogAppendTime", TimestampType::LogAppendTime)]);
