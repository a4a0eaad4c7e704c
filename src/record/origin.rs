//! Where an append comes from.

/// Who asks for an append, and so which rules it must pass.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Origin {
    /// A producer: every rule holds.
    Client,
    /// A coordinator of this node: its markers and its own records pass without sequences.
    Coordinator,
    /// A leader's log, or this one's own, read again: what has been accepted once is taken as it is.
    Replication,
}
