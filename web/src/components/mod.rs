//! What people see, a component a file.

pub(crate) mod card;
pub(crate) mod drop_zone;
pub(crate) mod help;
pub(crate) mod people;
pub(crate) mod proof;
pub(crate) mod settings;
pub(crate) mod viewer;
