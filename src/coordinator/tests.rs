//! One partition of offsets, fed by hand.
