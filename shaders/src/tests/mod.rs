//! The shaders on an adapter: each step against a short reference, all together against the core. Where there is no
//! adapter these tests are skipped and say so.

mod crops;
mod frames;
mod gpu;
mod steps;
mod validation;
