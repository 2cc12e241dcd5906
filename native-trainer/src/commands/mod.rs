//! The subcommands: one file each, with its arguments, their help and what it does.

pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod credentials;
mod desk;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod forward;
pub(crate) mod import;
pub(crate) mod info;
mod interrupt;
pub(crate) mod preprocess;
pub(crate) mod preview;
pub(crate) mod pull;
pub(crate) mod quantize;
pub(crate) mod score;
mod scorer;
pub(crate) mod serve;
mod shard;
pub(crate) mod train;
pub(crate) mod verify;
pub(crate) mod watch;
