//! Training a detector.
//!
//! A [`recipe`] (read by `recipe_file`) says everything about a run. `sampler` orders the clips of an epoch,
//! `examples` makes batches of them ahead of time, with fakes beside real faces as `partners` has them and faces of others in them by `donors`, `checks` refuse what nothing can come of, `trainer` takes the
//! steps with `losses`, `schedule` and `optimizer` over the `parameters` that the strategy trains, in a `precision`; `average`
//! follows them, `best` says which epoch is kept, `checkpoint` stores what a killed run goes on from as `resume` decides, `watch` shows how it goes (to `tensorboard`, too), and `outcome` calibrates and writes the detector, with a `summary`.
//!
//! Nothing random has a running state: every choice is a function of the recipe's seed and of its place in the run, so
//! a resumed run ends with the same weights as one that was never stopped.

mod average;
mod best;
mod checkpoint;
mod checks;
mod donors;
mod effort;
mod examples;
mod losses;
mod optimizer;
mod outcome;
mod parameters;
#[cfg(test)]
mod parity;
mod partners;
mod precision;
pub mod recipe;
mod recipe_file;
mod resume;
mod sampler;
mod schedule;
mod shares;
mod statistics;
mod summary;
mod tensorboard;
mod trainer;
mod watch;

pub use outcome::{ADAPTER, DETECTOR};
pub use precision::in_bf16;
pub use recipe_file::{read as read_recipe, read_unchecked as read_unchecked_recipe};
pub use resume::{Standing, discard, standing};
pub use trainer::{Ended, Options, run};
