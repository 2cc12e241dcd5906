//! The changes against other libraries (`tests/reference/augment_goldens.py`), and self-blended images of real faces.

mod blends;
mod costs;
mod goldens;
mod pairs;
