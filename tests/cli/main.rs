//! The program `unmask`, run as a user runs it.

mod bad_input;
mod clips;
mod importing;
mod outputs;
mod support;
