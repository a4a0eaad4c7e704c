//! Small tests of what the rules are made of.
