//! From frames to a report: which frames to look at, what is done with each, and what it all amounts to.

pub mod aggregate;
mod caveat;
pub mod clock;
mod error;
pub mod opinion;
pub mod people;
pub mod report;
pub mod sampling;

mod session;
pub mod strength;
#[cfg(test)]
mod tests;
pub mod verdict;

pub use caveat::{Caveat, CaveatCode};
pub use error::SessionError;
pub use opinion::{Opinion, join};
pub use people::Faces;
pub use session::{Batch, ClipView, Session};
pub use strength::Strength;
