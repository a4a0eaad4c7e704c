//! What the marks promise.
