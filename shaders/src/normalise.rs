//! From 8-bit levels to a model's numbers.
//!
//! | binding | what |
//! |---|---|
//! | 0 | uniform: [`NormaliseParameters`] |
//! | 1 | storage, read: the image `[size, size]`, a word a pixel: red in the lowest byte, then green and blue |
//! | 2 | storage, written: the batch `[n, 3, size, size]`, f32 |
//!
//! One invocation a pixel, `workgroups(size, size)`.

/// The shader. Entry point: `normalise`.
pub const NORMALISE: &str = include_str!("normalise.wgsl");

/// What the shader is told, a uniform buffer of 32 bytes:
///
/// | bytes | what |
/// |---|---|
/// | 0..12 | f32: mean of each channel |
/// | 12..16 | u32: side of the image |
/// | 16..28 | f32: standard deviation of each channel |
/// | 28..32 | u32: offset |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormaliseParameters {
    /// Side of the image in pixels.
    pub size: u32,
    /// Subtracted from each channel (RGB in 0..1).
    pub mean: [f32; 3],
    /// Divides each channel after that.
    pub std: [f32; 3],
    /// Where in the batch the image begins, in numbers: `3 · size · size` times its index.
    pub offset: u32,
}

impl NormaliseParameters {
    /// The uniform buffer's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut words = Vec::with_capacity(8);
        words.extend(self.mean.map(f32::to_bits));
        words.push(self.size);
        words.extend(self.std.map(f32::to_bits));
        words.push(self.offset);
        super::bytes(&words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_have_the_documented_layout() {
        let parameters = NormaliseParameters { size: 224, mean: [0.5, 0.25, 1.0], std: [2.0, 4.0, 8.0], offset: 9 };
        let bytes = parameters.to_bytes();
        let expected = [0.5f32, 0.25, 1.0].map(f32::to_bits).into_iter().chain([224]);
        let expected = expected.chain([2.0f32, 4.0, 8.0].map(f32::to_bits)).chain([9]);
        assert_eq!(bytes, super::super::bytes(&expected.collect::<Vec<_>>()));
    }
}
