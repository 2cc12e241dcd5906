//! What people see, a component a file.

pub(crate) mod camera_panel;
pub(crate) mod detail;
pub(crate) mod facts;
pub(crate) mod file_list;
pub(crate) mod help;
pub(crate) mod intake;
pub(crate) mod lanes;
pub(crate) mod proof;
pub(crate) mod settings;
pub(crate) mod verdict;
pub(crate) mod viewer;
pub(crate) mod working;
