//! Bounds on what partitions may take of the disks, and the refusal of what would take more.

use std::fmt;

use crate::id::TopicName;

/// What becomes of a batch for which a bound leaves no space.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AtSpaceBound {
    /// It is refused for now, and its producer tries again until its delivery timeout is over: retention, a deleted topic or
    /// deleted records may have made space by then.
    Block,
    /// It is refused for good.
    Fail,
    /// Whole segments go for it, the oldest first, whether anybody has read them or not.
    DropOldest,
}

impl fmt::Display for AtSpaceBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Block => "whoever brings more waits",
            Self::Fail => "more is refused",
            Self::DropOldest => "the oldest segments go for more",
        })
    }
}

/// A bound on space.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpaceBound {
    /// How many bytes segments and their index files may take.
    pub bytes_max: u64,
    /// What becomes of a batch for which that leaves no space.
    pub at_bound: AtSpaceBound,
}

/// A bound that a batch would exceed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BoundReached {
    /// The topic that has the bound; `None` if it is that of all topics together.
    pub topic: Option<TopicName>,
    /// How many bytes are taken.
    pub used: u64,
    /// How many more the batch needs, with what its indexes may need.
    pub needed: u64,
    /// The bound.
    pub bound: SpaceBound,
}

impl BoundReached {
    /// Whether the batch would fit if nothing else were there.
    pub const fn may_ever_fit(&self) -> bool {
        self.needed <= self.bound.bytes_max
    }
}

impl fmt::Display for BoundReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, used, needed, bound: SpaceBound { bytes_max, .. } } = self;
        match topic {
            Some(topic) => write!(f, "topic {topic} takes {used} of {bytes_max} bytes, and {needed} more are needed"),
            None => write!(f, "all topics take {used} of {bytes_max} bytes, and {needed} more are needed"),
        }
    }
}
