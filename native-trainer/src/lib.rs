//! What the command `unmask` does, as a library: everything beside reading its arguments.
//!
//! [`media`] brings frames, [`scoring`] makes reports of them, [`datasets`] and [`preprocess`] bring what is trained on, [`augment`]
//! changes it, [`train`] trains, [`evaluation`] and [`compare`] measure, [`hub`] brings published weights, [`detector_file`],
//! [`checkpoint`] and [`peft`] read and write models, [`int8`] makes them small, [`output`] shows reports, [`report`] writes them as files and
//! pages, [`provenance`] is what such a file rests on and [`verify`] checks, [`credentials`] reads what a file says under a signature,
//! [`watch`] scores what arrives in a folder, [`serve`] what is handed in by HTTP. What all models share is in `unmask-core`. Errors are sentences for people: which file, and
//! the way out.
//!
//! ```
//! # fn main() -> anyhow::Result<()> {
//! use std::path::Path;
//!
//! use unmask::detector_file::{load_whole, resolve};
//! use unmask::device::DeviceChoice;
//! use unmask::media::{Damage, expand};
//! use unmask::scoring::{ScoreOptions, Scorer, face_finder};
//! use unmask_core::pipeline::Faces;
//!
//! let detector = load_whole(&resolve("unmask-lite")?, &DeviceChoice::Cpu.open()?)?;
//! let options = ScoreOptions { frames: Some(4), faces: Faces::Largest, damage: Damage::Refuse };
//! let scorer = Scorer::new(detector, Vec::new(), face_finder()?, options);
//! for input in expand(Path::new("../demo/fake.mp4"))?.inputs {
//!     let report = scorer.score(&input, None, |done, all| println!("{done} of {all} frames"))?;
//!     assert_eq!(report.video.frames_sampled, 4);
//!     println!("{:?}, {:?}", report.verdict, report.score);
//! }
//! # Ok(())
//! # }
//! ```

mod ahead;
pub mod augment;
pub mod checkpoint;
pub mod compare;
pub mod counts;
pub mod credentials;
pub mod datasets;
mod decomposed;
pub mod detector_file;
pub mod device;
#[cfg(test)]
#[path = "../../tests/support/encoders.rs"]
mod encoders;
pub mod evaluation;
pub mod explain;
pub mod figures;
mod file_print;
pub mod files;
pub mod hub;
pub mod int8;
pub mod media;
mod opinions;
pub mod output;
pub mod peft;
pub mod predict;
pub mod preprocess;
mod progress;
pub mod provenance;
mod random;
pub mod report;
pub mod scoring;
pub mod serve;
#[cfg(test)]
#[path = "../../tests/support/data.rs"]
mod shared_data;
pub mod speed;
pub mod tensors;
pub mod train;
pub mod twins;
pub mod verify;
pub mod watch;
