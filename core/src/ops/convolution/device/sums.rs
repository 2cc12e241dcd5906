//! Sums over many rows, as a gradient of a weight is one over all pixels of a batch.

use burn::backend::Shape;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::ops::reshape;
use burn_cubecl::tensor::CubeTensor;

use super::{launch_size, like};

/// Rows that a thread adds up at least, so that starting it is worth while.
pub(super) const ROWS: usize = 32;
/// Threads that keep a device busy.
const THREADS: usize = 1 << 16;

/// In how many pieces `rows` rows of `columns` numbers are worked on.
pub(super) fn pieces(rows: usize, columns: usize) -> usize {
    rows.div_ceil(ROWS).min(THREADS / columns.max(1)).max(1)
}

/// The sum of each of `columns` columns, `[columns]`, of a tensor whose numbers lie row by row.
pub(super) fn column_sums(values: CubeTensor, columns: usize) -> CubeTensor {
    let mut rows = values.meta.num_elements() / columns;
    let mut values = values;
    // Few columns are added up in several rounds: one thread for each would leave a device idle.
    while rows > 1 {
        let pieces = pieces(rows, columns);
        let sums = like(&values, [pieces, columns]);
        let (count, dim) = launch_size(&sums, pieces * columns);
        column_sums_kernel::launch(
            &sums.client.clone(),
            count,
            dim,
            values.into_buffer_arg(),
            sums.clone().into_buffer_arg(),
            rows,
            columns,
            pieces,
        );
        (values, rows) = (sums, pieces);
    }
    reshape(values, Shape::from([columns]))
}

/// Each thread adds up every `pieces`-th row of a column.
#[cube(launch)]
fn column_sums_kernel(values: &[f32], sums: &mut [f32], rows: usize, columns: usize, pieces: usize) {
    if ABSOLUTE_POS >= sums.len() {
        terminate!();
    }
    let column = ABSOLUTE_POS % columns;
    let mut sum = 0.0f32;
    for row in range_stepped(ABSOLUTE_POS / columns, rows, pieces) {
        sum += values[row * columns + column];
    }
    sums[ABSOLUTE_POS] = sum;
}
