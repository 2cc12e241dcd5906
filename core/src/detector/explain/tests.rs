//! Maps of made-up models.
