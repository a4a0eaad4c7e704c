//! Paths below a log directory.

use std::fmt;

/// A path below the root of a [`Disk`](crate::disk::Disk). Made of checked names, so it cannot leave the root.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DiskPath(String);

impl DiskPath {
    /// The root itself.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// The path `text`, names joined by `/`, empty for the root; `None` if [`join`](Self::join) refuses a name.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::root());
        }
        text.split('/').try_fold(Self::root(), |path, name| path.join(name))
    }

    /// The entry `name` within this directory; `None` if `name` is empty, `.` or `..`, or has a `/` or a NUL in it.
    pub fn join(&self, name: &str) -> Option<Self> {
        let illegal = name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']);
        if illegal {
            return None;
        }
        Some(if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}/{name}", self.0)) })
    }

    /// The entry that anything whose name is checked already (a file of a log, a partition) has in this directory.
    pub(crate) fn entry(&self, name: impl fmt::Display) -> Self {
        let name = name.to_string();
        // Those names are digits, letters, dots and dashes; a name with a '/' would be our own bug.
        self.join(&name).expect("the name of a log's file stays in its directory")
    }

    /// The directory that holds this entry; the root holds itself.
    pub fn parent(&self) -> Self {
        Self(self.0.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned())
    }

    /// The names on the way from the root to this entry.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// The last name; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The path as text, names joined by `/`, empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DiskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}
