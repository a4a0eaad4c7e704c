//! The features of a cluster: which there are and which levels of them are understood (metadata.md, section 2).

use super::error::ReplayFault;

/// The feature that says which records there may be.
pub const METADATA_VERSION: &str = "metadata.version";
/// Eligible leader replicas.
pub const ELIGIBLE_LEADER_REPLICAS: &str = "eligible.leader.replicas.version";
/// The voters' protocol, which is no feature of the image.
pub(super) const KRAFT_VERSION: &str = "kraft.version";

/// The metadata version that Kafka 4.3 formats with.
pub const METADATA_VERSION_NEWEST: i16 = 30;
/// From this metadata version on partitions have directories.
pub(in crate::controller) const METADATA_VERSION_DIRECTORIES: i16 = 17;

/// Name, smallest and largest level, and the level that a new cluster has.
const FEATURES: [(&str, i16, i16, i16); 7] = [
    (METADATA_VERSION, 7, METADATA_VERSION_NEWEST, METADATA_VERSION_NEWEST),
    (ELIGIBLE_LEADER_REPLICAS, 0, 1, 1),
    ("group.version", 0, 1, 1),
    ("share.version", 0, 1, 1),
    ("streams.version", 0, 1, 1),
    ("transaction.version", 0, 2, 2),
    (KRAFT_VERSION, 0, 1, 0),
];

/// The features of a new cluster, the metadata version first.
pub(in crate::controller) fn of_new_cluster() -> impl Iterator<Item = (&'static str, i16)> {
    FEATURES.iter().filter(|(.., level)| *level > 0).map(|(name, _, _, level)| (*name, *level))
}

pub(super) fn check(name: &str, level: i16) -> Result<(), ReplayFault> {
    let known = FEATURES.iter().find(|(known, ..)| *known == name);
    let (min, max) = known.map_or((0, 0), |(_, min, max, _)| (*min, *max));
    if (min..=max).contains(&level) {
        return Ok(());
    }
    Err(ReplayFault::UnsupportedFeature { name: name.to_owned(), level, min, max })
}
