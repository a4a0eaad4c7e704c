//! The promises of the test disk.
