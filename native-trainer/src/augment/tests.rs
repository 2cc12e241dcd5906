//! The changes against other libraries (`augment_goldens.py` and `fancy_pca_goldens.py` of `tests/reference`), and self-blended
//! images of real faces.

mod blends;
mod costs;
mod goldens;
mod pairs;
