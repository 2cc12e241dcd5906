//! The kernels images are resized with.

/// The kernels, by what they are at a reduction of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// The mean of the pixels covered.
    Box,
    /// A triangle of one pixel to each side.
    Triangle,
    /// Keys' cubic with a = -0.5, two pixels to each side.
    CatmullRom,
}

impl Kernel {
    /// Its name in the fast body's library.
    #[cfg(feature = "std")]
    pub(super) fn filter(self) -> fast_image_resize::FilterType {
        match self {
            Self::Box => fast_image_resize::FilterType::Box,
            Self::Triangle => fast_image_resize::FilterType::Bilinear,
            Self::CatmullRom => fast_image_resize::FilterType::CatmullRom,
        }
    }

    /// How far it reaches to each side.
    #[cfg(any(test, not(feature = "std")))]
    pub(super) fn support(self) -> f64 {
        match self {
            Self::Box => 0.5,
            Self::Triangle => 1.0,
            Self::CatmullRom => 2.0,
        }
    }

    /// Its value at `x`.
    #[cfg(any(test, not(feature = "std")))]
    pub(super) fn at(self, x: f64) -> f64 {
        let distance = libm::fabs(x);
        match self {
            Self::Box if -0.5 < x && x <= 0.5 => 1.0,
            Self::Triangle if distance < 1.0 => 1.0 - distance,
            Self::CatmullRom if distance < 1.0 => (1.5 * distance - 2.5) * distance * distance + 1.0,
            Self::CatmullRom if distance < 2.0 => ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0,
            _ => 0.0,
        }
    }
}
