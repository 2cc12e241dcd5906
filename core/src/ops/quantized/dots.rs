//! Sums of products of bytes in the vector instructions of WebAssembly.

#[cfg(target_arch = "wasm32")]
use core::arch::wasm32::v128;

#[cfg(target_arch = "wasm32")]
use pulp::core_arch::wasm::Simd128;

/// Outputs that are summed together.
pub(super) const OUTPUTS: usize = 8;
/// Inputs of a block of weights.
pub(super) const INPUTS: usize = 4;

/// The weights of a few inputs for a few outputs, in the order of [`Dots::place`].
pub(super) type Block = [i8; INPUTS * OUTPUTS];

/// How bytes are multiplied with a weight's integers, which are stored with something added to them.
pub(super) trait Dots: Copy {
    /// An input less 128, as it is multiplied.
    type Input: Copy + Default + From<i8> + Into<i32>;
    /// A block that is ready for several rows.
    type Weights: Copy;
    /// The sums of all outputs of a block.
    type Sums: Copy;

    /// What is added to a weight's integer.
    const ADDED: i8;

    /// Where a block has the weight of an input for an output.
    fn place(input: usize, output: usize) -> usize;

    fn zeros(self) -> Self::Sums;

    fn read(self, block: &Block) -> Self::Weights;

    /// `sums` and the products of a row's inputs with a block.
    fn add(self, sums: Self::Sums, row: &[Self::Input; INPUTS], weights: Self::Weights) -> Self::Sums;

    fn numbers(self, sums: Self::Sums) -> [i32; OUTPUTS];
}

/// The instructions that every browser has: products of 16-bit integers, two of which are added up in 32 bits.
#[cfg(all(target_arch = "wasm32", not(feature = "relaxed-simd")))]
#[derive(Clone, Copy)]
pub(super) struct Common(pub(super) Simd128);

#[cfg(all(target_arch = "wasm32", not(feature = "relaxed-simd")))]
impl Dots for Common {
    type Input = i16;
    /// The outputs' halves for the first two inputs, and for the other two.
    type Weights = [[v128; 2]; 2];
    type Sums = [v128; 2];

    const ADDED: i8 = 0;

    #[inline(always)]
    fn place(input: usize, output: usize) -> usize {
        input / 2 * 2 * OUTPUTS + output * 2 + input % 2
    }

    #[inline(always)]
    fn zeros(self) -> [v128; 2] {
        [self.0.i32x4_splat(0); 2]
    }

    #[inline(always)]
    fn read(self, block: &Block) -> [[v128; 2]; 2] {
        vectors(block).map(|bytes| [self.0.i16x8_extend_low_i8x16(bytes), self.0.i16x8_extend_high_i8x16(bytes)])
    }

    #[inline(always)]
    fn add(self, mut sums: [v128; 2], row: &[i16; INPUTS], weights: [[v128; 2]; 2]) -> [v128; 2] {
        // Pairs are loaded one by one, which spreads them over a vector in passing.
        for (pair, weights) in row.as_chunks::<2>().0.iter().zip(weights) {
            let pair = self.0.i32x4_splat(pulp::cast(*pair));
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = self.0.i32x4_add(*sum, self.0.i32x4_dot_i16x8(pair, weights));
            }
        }
        sums
    }

    #[inline(always)]
    fn numbers(self, sums: [v128; 2]) -> [i32; OUTPUTS] {
        pulp::cast(sums)
    }
}

/// The relaxed dot product of four signed bytes and four of 7 bits. With more bits than that, processors differ.
#[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
#[derive(Clone, Copy)]
pub(super) struct Relaxed(pub(super) Simd128, pub(super) pulp::core_arch::wasm::RelaxedSimd);

#[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
impl Dots for Relaxed {
    type Input = i8;
    /// The outputs' halves.
    type Weights = [v128; 2];
    type Sums = [v128; 2];

    /// Integers of ±64 become 0 to 128, of which 128 is one too much.
    const ADDED: i8 = 64;

    #[inline(always)]
    fn place(input: usize, output: usize) -> usize {
        output * INPUTS + input
    }

    #[inline(always)]
    fn zeros(self) -> [v128; 2] {
        [self.0.i32x4_splat(0); 2]
    }

    #[inline(always)]
    fn read(self, block: &Block) -> [v128; 2] {
        vectors(block)
    }

    #[inline(always)]
    fn add(self, [low, high]: [v128; 2], row: &[i8; INPUTS], weights: [v128; 2]) -> [v128; 2] {
        let row = self.0.i32x4_splat(pulp::cast(*row));
        [
            self.1.i32x4_relaxed_dot_i8x16_i7x16_add(row, weights[0], low),
            self.1.i32x4_relaxed_dot_i8x16_i7x16_add(row, weights[1], high),
        ]
    }

    #[inline(always)]
    fn numbers(self, sums: [v128; 2]) -> [i32; OUTPUTS] {
        pulp::cast(sums)
    }
}

/// What multiplies fastest in this module.
#[cfg(all(target_arch = "wasm32", not(feature = "relaxed-simd")))]
pub(super) fn fastest() -> Common {
    Common(Simd128::new_unchecked())
}

/// What multiplies fastest in this module.
#[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
pub(super) fn fastest() -> Relaxed {
    Relaxed(Simd128::new_unchecked(), pulp::core_arch::wasm::RelaxedSimd::new_unchecked())
}

#[cfg(target_arch = "wasm32")]
#[inline(always)]
fn vectors(block: &Block) -> [v128; 2] {
    pulp::cast(*block)
}

/// The same arithmetic without vectors, with integers that have this added to them.
#[cfg(test)]
#[derive(Clone, Copy)]
pub(super) struct Slow<const ADDED: i8>;

#[cfg(test)]
impl<const ADDED: i8> Dots for Slow<ADDED> {
    type Input = i16;
    type Weights = Block;
    type Sums = [i32; OUTPUTS];

    const ADDED: i8 = ADDED;

    fn place(input: usize, output: usize) -> usize {
        output * INPUTS + input
    }

    fn zeros(self) -> [i32; OUTPUTS] {
        [0; OUTPUTS]
    }

    fn read(self, block: &Block) -> Block {
        *block
    }

    fn add(self, mut sums: [i32; OUTPUTS], row: &[i16; INPUTS], weights: Block) -> [i32; OUTPUTS] {
        for (output, sum) in sums.iter_mut().enumerate() {
            for (input, byte) in row.iter().enumerate() {
                *sum += i32::from(*byte) * i32::from(weights[Self::place(input, output)]);
            }
        }
        sums
    }

    fn numbers(self, sums: [i32; OUTPUTS]) -> [i32; OUTPUTS] {
        sums
    }
}
