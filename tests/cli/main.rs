//! The program `unmask`, run as a user runs it.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is how a test fails")]

mod bad_input;
mod clips;
#[path = "../support/compare.rs"]
mod compare;
mod importing;
mod outputs;
mod previewing;
mod pulling;
mod support;
