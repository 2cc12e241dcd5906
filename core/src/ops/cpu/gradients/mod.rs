//! What training asks of CPUs besides the bodies for scoring: the gradients of linear layers, attention and layer norms.
//!
//! They are sums like those going forward, by the same products. Sums over rows are taken in their order, or in pieces that
//! depend on nothing but the sizes, so gradients are the same with any number of cores.

pub(in crate::ops) mod attention;
pub(in crate::ops) mod layer_norm;
pub(in crate::ops) mod linear;

use core::ops::Range;

/// Columns of rows of `width` as rows of their own, one after the other.
fn turn(values: &[f32], width: usize, columns: Range<usize>, turned: &mut [f32]) {
    /// Rows that are read at a time: what is written of a column is a cache line then.
    const ROWS: usize = 16;
    let count = values.len() / width;
    for first in (0..count).step_by(ROWS) {
        let rows = ROWS.min(count - first);
        let block = &values[first * width..(first + rows) * width];
        for (place, column) in columns.clone().enumerate() {
            let places = &mut turned[place * count + first..][..rows];
            for (place, value) in places.iter_mut().zip(block[column..].iter().step_by(width)) {
                *place = *value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn columns_become_rows() {
        let (count, width) = (35, 5);
        let values: alloc::vec::Vec<f32> = (0..count * width).map(|value| value as f32).collect();
        let mut turned = vec![f32::NAN; 3 * count];
        turn(&values, width, 1..4, &mut turned);
        for (column, row) in (1..4).zip(turned.chunks_exact(count)) {
            assert!(row.iter().enumerate().all(|(place, value)| *value == (place * width + column) as f32));
        }
    }
}
