//! The program `unmask`, run as a user runs it.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is how a test fails")]

mod analysing;
mod bad_input;
mod bundled;
mod clip_models;
mod clips;
#[path = "../support/compare.rs"]
mod compare;
mod comparing;
mod converting;
mod credentials;
mod data_sets;
#[path = "../support/encoders.rs"]
mod encoders;
mod evaluating;
mod explaining;
mod filming;
mod importing;
mod inputs;
mod integers;
mod kinds;
mod layouts;
mod outputs;
mod pairs;
mod peft;
mod preprocessing;
mod previewing;
mod pulling;
mod reduced;
mod references;
mod reporting;
mod second_opinion;
mod self_blended;
mod serving;
#[path = "../support/data.rs"]
mod shared_data;
mod strays;
mod support;
mod trained;
mod training;
mod uncertainty;
mod verdicts;
mod verifying;
mod watching;
