//! The command `unmask`.
fn main() {}
