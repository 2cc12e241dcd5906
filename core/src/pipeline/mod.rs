//! From frames to a report: which frames to look at, what is done with each, and what it all amounts to.

pub mod aggregate;
mod caveat;
pub mod report;
pub mod sampling;

mod session;
#[cfg(test)]
mod tests;
pub mod verdict;

pub use caveat::{Caveat, CaveatCode};
pub use session::{Batch, ClipView, Faces, Session};
