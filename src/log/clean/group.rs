//! Grouping: which neighbouring segments become one.

use crate::offset::Offset;

/// What grouping looks at in one segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GroupMember {
    /// Its base offset.
    pub base: Offset,
    /// How many bytes of batches it has.
    pub size: u32,
    /// How long its offset index is, in bytes.
    pub index_bytes: u32,
    /// How long its time index is, in bytes.
    pub time_index_bytes: u32,
}

/// What a group may hold: what the segment it becomes may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GroupLimits {
    /// `segment_bytes`.
    pub segment_bytes: u32,
    /// `segment_index_bytes`.
    pub index_bytes: u32,
    /// The first offset that cannot be compacted: no segment ends above it.
    pub first_uncleanable: Offset,
}

/// How many segments go into each group, in order (CLN-11).
///
/// What they hold before compaction must fit into one segment, so what is left of it does too.
pub fn group(segments: &[GroupMember], limits: &GroupLimits) -> Vec<usize> {
    let mut groups = Vec::new();
    let mut rest = segments;
    while let Some((first, followers)) = rest.split_first() {
        let mut sums = Sums::of(first);
        let mut count = 1;
        while let Some(next) = followers.get(count - 1) {
            let end = followers.get(count).map_or(limits.first_uncleanable, |behind| behind.base);
            let grown = sums.with(next);
            // An empty segment has no offsets that would have to be told relative to the first base.
            let in_reach = next.size == 0 || end.retreat(1).relative_to(first.base).is_some();
            if !grown.fit(limits) || !in_reach {
                break;
            }
            sums = grown;
            count += 1;
        }
        groups.push(count);
        rest = &rest[count..];
    }
    groups
}

struct Sums {
    size: u64,
    index_bytes: u64,
    time_index_bytes: u64,
}

impl Sums {
    fn of(segment: &GroupMember) -> Self {
        Self { size: 0, index_bytes: 0, time_index_bytes: 0 }.with(segment)
    }

    fn with(&self, segment: &GroupMember) -> Self {
        Self {
            size: self.size + u64::from(segment.size),
            index_bytes: self.index_bytes + u64::from(segment.index_bytes),
            time_index_bytes: self.time_index_bytes + u64::from(segment.time_index_bytes),
        }
    }

    fn fit(&self, limits: &GroupLimits) -> bool {
        self.size <= u64::from(limits.segment_bytes)
            && self.index_bytes <= u64::from(limits.index_bytes)
            && self.time_index_bytes <= u64::from(limits.index_bytes)
    }
}
