//! Cutting an aligned face out of a frame.
//!
//! | binding | what |
//! |---|---|
//! | 0 | uniform: [`WarpParameters`] |
//! | 1 | storage, written: the crop `[size, size]`, a word a pixel: red in the lowest byte, then green, blue and 255 |
//! | 2 | the frame: storage `[height, width]`, words likewise ([`WARP_BUFFER`]), or a texture ([`WARP_TEXTURE`]) |
//!
//! One invocation a pixel of the crop, `workgroups(size, size)`.

/// The shader for frames in a storage buffer. Entry point: `warp`.
pub const WARP_BUFFER: &str = concat!(include_str!("warp.wgsl"), include_str!("frame_buffer.wgsl"));

/// The shader for frames in the upper left corner of a `texture_2d<f32>` of 8 bits a channel, such as `rgba8unorm`. Not an
/// sRGB format, which would change the levels. Entry point: `warp`.
pub const WARP_TEXTURE: &str = concat!(include_str!("warp.wgsl"), include_str!("frame_texture.wgsl"));

/// A similarity transform of the plane: rotation, uniform scale and translation, no reflection.
///
/// `x' = a·x - b·y + dx`, `y' = b·x + a·y + dy`, in pixels whose centres are whole numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Scale times the cosine of the angle.
    pub a: f64,
    /// Scale times the sine of the angle.
    pub b: f64,
    /// Where the origin goes.
    pub dx: f64,
    /// Where the origin goes.
    pub dy: f64,
}

impl Similarity {
    /// The transform that takes `[0, 0]` to `origin` and `[1, 0]` to `unit`, which say all about it.
    ///
    /// ```
    /// use unmask_shaders::warp::Similarity;
    /// let quarter_turn = Similarity::of_images([5.0, 7.0], [5.0, 8.0]);
    /// assert_eq!(quarter_turn, Similarity { a: 0.0, b: 1.0, dx: 5.0, dy: 7.0 });
    /// ```
    pub fn of_images(origin: [f64; 2], unit: [f64; 2]) -> Self {
        Self { a: unit[0] - origin[0], b: unit[1] - origin[1], dx: origin[0], dy: origin[1] }
    }

    fn numbers(&self) -> [f64; 4] {
        [self.a, self.b, self.dx, self.dy]
    }
}

/// What the shader is told, a uniform buffer of 48 bytes:
///
/// | bytes | what |
/// |---|---|
/// | 0..16 | f32: a, b, dx, dy of the transform from the crop to the frame |
/// | 16..32 | u32: what each of them exceeds the whole number below by, in units of 2⁻³² |
/// | 32..40 | u32: width and height of the frame |
/// | 40..44 | u32: side of the crop |
/// | 44..48 | nothing |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarpParameters {
    /// From pixels of the crop to pixels of the frame. Places inside the frame are exact to a millionth of a pixel as
    /// long as no term of the transform gets beyond a million.
    pub to_frame: Similarity,
    /// Width and height of the frame in pixels.
    pub frame_size: [u32; 2],
    /// Side of the crop in pixels, up to 4096.
    pub crop_size: u32,
}

impl WarpParameters {
    /// The uniform buffer's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        let numbers = self.to_frame.numbers();
        let mut words = Vec::with_capacity(12);
        words.extend(numbers.map(|number| (number as f32).to_bits()));
        words.extend(numbers.map(fraction));
        words.extend(self.frame_size);
        words.extend([self.crop_size, 0]);
        super::bytes(&words)
    }
}

/// What `number` exceeds the whole number below by, in units of 2⁻³²; 0 where that rounds up to a whole.
fn fraction(number: f64) -> u32 {
    let units = ((number - number.floor()) * 2f64.powi(32)).round();
    // Cut to 32 bits, not to the largest number of 32 bits.
    units as u64 as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_of_the_whole_number_below() {
        assert_eq!(fraction(2.5), 1 << 31);
        assert_eq!(fraction(-0.25), 3 << 30);
        assert_eq!(fraction(-7.0), 0);
        assert_eq!(fraction(1.0 - 1e-12), 0);
    }

    #[test]
    fn the_parameters_have_the_documented_layout() {
        let to_frame = Similarity { a: 1.5, b: -0.25, dx: 3.0, dy: 0.0 };
        let bytes = WarpParameters { to_frame, frame_size: [640, 480], crop_size: 256 }.to_bytes();
        assert_eq!(bytes.len(), 48);
        let word = |index: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[index * 4 + byte]));
        assert_eq!([0, 1, 2, 3].map(|index| f32::from_bits(word(index))), [1.5, -0.25, 3.0, 0.0]);
        assert_eq!([4, 5, 6, 7].map(word), [1 << 31, 3 << 30, 0, 0]);
        assert_eq!([8, 9, 10, 11].map(word), [640, 480, 256, 0]);
    }
}
