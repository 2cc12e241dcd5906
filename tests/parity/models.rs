//! Every model that a checkpoint can be imported of, against its reference implementation: features, logits and gradients of a
//! tiny version, whose checkpoint has the names of the published one (`tests/reference/`).
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is how a test fails")]

#[path = "../support/compare.rs"]
mod compare;
#[path = "models/support.rs"]
mod support;

#[path = "models/convolutional.rs"]
mod convolutional;
#[path = "models/explaining.rs"]
mod explaining;
#[path = "models/temporal.rs"]
mod temporal;
#[path = "models/transformers.rs"]
mod transformers;
