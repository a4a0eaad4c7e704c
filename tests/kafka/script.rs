//! Scripts: what is done to both logs, one operation a line, in words that stay true when other lines are taken out.
//!
//! Nothing here is absolute: a batch has "the producer's next sequence and two more", a truncation goes "three back".
//! So a line still means something after the lines before it are gone, which is what makes short scripts possible.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A log to open and what to do with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub settings: Settings,
    pub ops: Vec<Op>,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "open settings={}", self.settings)?;
        self.ops.iter().try_for_each(|op| writeln!(f, "{op}"))
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let first = lines.next().ok_or("an empty script")?;
        let settings = first.strip_prefix("open settings=").ok_or("the first line is `open settings=..`")?;
        Ok(Self { settings: settings.parse()?, ops: lines.map(str::parse).collect::<Result<_, _>>()? })
    }
}

/// An enum whose variants are words.
pub trait Words: Sized + 'static {
    const ALL: &'static [Self];
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident $word:literal),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum $name { $($(#[$about])* $variant),* }
        impl Words for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),* })
            }
        }
        impl FromStr for $name {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                match word { $($word => Ok(Self::$variant),)* _ => Err(format!("{word} is no {}", stringify!($name))) }
            }
        }
    )* };
}

words! {
    Codec { None "none", Gzip "gzip", Snappy "snappy", Lz4 "lz4", Zstd "zstd" }
    /// When a batch's records are dated.
    Dated {
        /// Within the last 300 ms.
        Now "now",
        /// Ten seconds ago.
        Old "old",
        /// Not at all.
        Never "never",
        /// In five minutes: later than any `segment_ms` here.
        Soon "soon",
        /// Beyond `message.timestamp.after.max.ms`.
        TooLate "too-late",
        /// Beyond `message.timestamp.before.max.ms`, if that is set.
        TooEarly "too-early",
    }
    Kind { Plain "plain", Idempotent "idempotent", Transactional "transactional" }
    Leader { Here "here", Elsewhere "elsewhere" }
    Verdict { Commit "commit", Abort "abort" }
    /// What is wrong with a batch.
    Flaw {
        Checksum "checksum", TooLarge "too-large", Empty "empty", BaseOffset "base-offset", Count "count", Control "control",
        NoSequence "no-sequence", AppendTimeBit "append-time-bit", TwoBatches "two-batches", Cut "cut", RecordsShort "records-short",
        NullKey "null-key", Delta "delta",
    }
    Isolation { LogEnd "log-end", HighWatermark "high-watermark", Committed "committed" }
    /// What to search for by date.
    Date { Earliest "earliest", Latest "latest", Max "max", At "at" }
    /// What happens to the last segment between a kill and the next open, above what was flushed.
    Damage { None "none", Cut "cut", Zeros "zeros", Noise "noise", Flip "flip" }
    Cleanup { Delete "delete", Compact "compact", Both "both" }
    Clock { Create "create", Append "append" }
    Compression { Producer "producer", Uncompressed "uncompressed" }
}

/// Settings of a log, `name:value` joined by commas.
macro_rules! settings {
    ($($name:ident: $kind:ty,)*) => {
        #[derive(Clone, Debug, PartialEq)]
        pub struct Settings { $(pub $name: $kind),* }
        impl fmt::Display for Settings {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let pairs = [$(format!("{}:{}", stringify!($name), self.$name)),*];
                f.write_str(&pairs.join(","))
            }
        }
        impl FromStr for Settings {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let pairs: BTreeMap<&str, &str> = text.split(',').filter_map(|pair| pair.split_once(':')).collect();
                Ok(Self { $($name: field(&pairs, stringify!($name))?),* })
            }
        }
    };
}

settings! {
    segment_bytes: i64,
    segment_ms: i64,
    index_bytes: i64,
    index_interval: i64,
    batch_max: i64,
    cleanup: Cleanup,
    retention_ms: i64,
    retention_bytes: i64,
    delete_retention_ms: i64,
    dirty_percent: i64,
    lag_min_ms: i64,
    lag_max_ms: i64,
    clock: Clock,
    before_max_ms: i64,
    compression: Compression,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident $word:literal { $($field:ident: $kind:ty),* })*) => {
        /// One line of a script.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op { $($(#[$doc])* $name { $($field: $kind),* }),* }
        impl Op {
            /// The verb, for statistics.
            pub fn word(&self) -> &'static str {
                match self { $(Self::$name { .. } => $word),* }
            }
        }
        impl fmt::Display for Op {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$name { $($field),* } => {
                    f.write_str($word)?;
                    $(write!(f, " {}={}", stringify!($field), $field)?;)*
                    Ok(())
                })* }
            }
        }
        impl FromStr for Op {
            type Err = String;
            fn from_str(line: &str) -> Result<Self, String> {
                let mut words = line.split_whitespace();
                let word = words.next().unwrap_or_default();
                let fields: BTreeMap<&str, &str> = words.filter_map(|pair| pair.split_once('=')).collect();
                let _ = &fields;
                match word {
                    $($word => Ok(Self::$name { $($field: field(&fields, stringify!($field))?),* }),)*
                    _ => Err(format!("{word} is no operation")),
                }
            }
        }
    };
}

operations! {
    /// A batch as leader. `sequence` counts from the producer's next, `epoch` from its own; `salt` decides the content.
    Append "append" { kind: Kind, producer: usize, epoch: i64, sequence: i64, codec: Codec, records: u64, salt: u64, dated: Dated }
    /// The bytes that this producer sent `back` appends ago (0: its last), once more.
    Again "again" { producer: usize, back: usize }
    /// A transaction's end. `epoch` counts from the producer's own, `coordinator` from the coordinator's.
    Marker "marker" { producer: usize, verdict: Verdict, version: i64, epoch: i64, coordinator: i64 }
    /// A batch of the group coordinator in a producer's transaction: no sequence.
    Offsets "offsets" { producer: usize, epoch: i64, records: u64, salt: u64 }
    /// A batch that a leader must refuse, or that it takes in spite of its looks.
    Flawed "flawed" { flaw: Flaw, codec: Codec, salt: u64 }
    /// Batches as follower, from the log end and `gap` on; `epoch` counts from the leader's.
    Replicate "replicate" { batches: u64, records: u64, gap: i64, epoch: i64, kind: Kind, producer: usize, codec: Codec, salt: u64 }
    /// A marker as follower.
    ReplicateMarker "replicate-marker" { producer: usize, verdict: Verdict, epoch: i64, gap: i64 }
    /// A new leader, `by` epochs later; if it is this node, it says so at its log end.
    Reign "reign" { by: i64, leader: Leader }
    /// The high watermark goes so much of the way to the log end.
    Advance "advance" { permille: i64 }
    /// A read from a place between log start and log end, or `beyond` it.
    Read "read" { permille: i64, beyond: i64, bytes: i64, isolation: Isolation }
    ByDate "by-date" { date: Date, back: i64 }
    /// The end of the epoch so many before the current one.
    ByEpoch "by-epoch" { back: i64 }
    Roll "roll" {}
    Truncate "truncate" { back: i64 }
    /// All goes; the log starts `ahead` of its end.
    StartAt "start-at" { ahead: i64 }
    /// Records below a place between log start and high watermark are given up.
    Trim "trim" { permille: i64, beyond: i64 }
    Retain "retain" {}
    Compact "compact" {}
    Flush "flush" {}
    Expire "expire" {}
    Tick "tick" { ms: i64 }
    Configure "configure" { settings: Settings }
    /// Closed, compared byte for byte, opened.
    Close "close" {}
    /// Killed, damaged above what was flushed, opened. `amount` in thousandths of what may be damaged.
    Kill "kill" { damage: Damage, amount: i64, salt: u64 }
}

fn field<T: FromStr>(fields: &BTreeMap<&str, &str>, name: &str) -> Result<T, String> {
    let text = fields.get(name).ok_or_else(|| format!("{name} is missing"))?;
    text.parse().map_err(|_| format!("{name}={text} cannot be"))
}

impl Op {
    /// Plainer operations that may fail all the same: for making a failing script easy to read.
    pub fn plainer(&self) -> Vec<Self> {
        match self {
            Self::Append { kind, producer, epoch, sequence, codec, records, salt, dated } => {
                let with = |kind, codec, records, salt, dated| Self::Append {
                    kind,
                    producer: *producer,
                    epoch: *epoch,
                    sequence: *sequence,
                    codec,
                    records,
                    salt,
                    dated,
                };
                vec![
                    with(Kind::Plain, *codec, *records, *salt, *dated),
                    with(*kind, Codec::None, *records, *salt, *dated),
                    with(*kind, *codec, 1, *salt, *dated),
                    with(*kind, *codec, *records, 0, *dated),
                    with(*kind, *codec, *records, *salt, Dated::Now),
                ]
            }
            Self::Replicate { batches, records, gap, epoch, kind, producer, codec, salt } => {
                let with = |batches, records, gap, kind, codec, salt| Self::Replicate {
                    batches,
                    records,
                    gap,
                    epoch: *epoch,
                    kind,
                    producer: *producer,
                    codec,
                    salt,
                };
                vec![
                    with(1, *records, *gap, *kind, *codec, *salt),
                    with(*batches, 1, *gap, *kind, *codec, *salt),
                    with(*batches, *records, 0, *kind, *codec, *salt),
                    with(*batches, *records, *gap, Kind::Plain, *codec, *salt),
                    with(*batches, *records, *gap, *kind, Codec::None, *salt),
                    with(*batches, *records, *gap, *kind, *codec, 0),
                ]
            }
            Self::Kill { damage, .. } if *damage != Damage::None => {
                vec![Self::Kill { damage: Damage::None, amount: 0, salt: 0 }]
            }
            Self::Advance { permille } if *permille != 1000 => vec![Self::Advance { permille: 1000 }],
            _ => Vec::new(),
        }
    }
}

#[test]
fn a_script_reads_back_as_it_was_written() {
    let mut rng = crate::rng::Rng::new(1);
    for _ in 0..20 {
        let script = crate::generate::script(&mut rng, 100);
        assert_eq!(script.to_string().parse::<Script>().unwrap(), script);
    }
}
