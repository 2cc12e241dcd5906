//! Which input pixels a convolution with "same" padding reads for which output pixels.

use alloc::vec::Vec;

/// One axis of a convolution that pads as TensorFlow's `SAME`: the output has `⌈input / stride⌉` places, and what must be
/// padded for that is shared out evenly, with the odd one after the last pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Pixels that are read.
    pub input: usize,
    /// Pixels that come out.
    pub output: usize,
    /// Side of the kernel.
    pub side: usize,
    /// Step of the kernel.
    pub stride: usize,
    /// Zeros before the first pixel.
    pub before: usize,
    /// Zeros after the last pixel.
    pub after: usize,
}

/// A tap of the kernel along one axis, and the pixel it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meeting {
    pub(super) tap: usize,
    pub(super) pixel: usize,
}

impl Axis {
    /// The axis of a kernel of `side`, moved by `stride`, over `input` pixels. All are at least 1.
    pub fn same(input: usize, side: usize, stride: usize) -> Self {
        let output = input.div_ceil(stride);
        let padding = ((output - 1) * stride + side).saturating_sub(input);
        let before = padding / 2;
        Self { input, output, side, stride, before, after: padding - before }
    }

    /// For every output pixel, the taps that meet an input pixel.
    pub(super) fn sources(&self) -> Vec<Vec<Meeting>> {
        let meeting = |output: usize, tap: usize| {
            let pixel = (output * self.stride + tap).checked_sub(self.before)?;
            (pixel < self.input).then_some(Meeting { tap, pixel })
        };
        (0..self.output).map(|output| (0..self.side).filter_map(|tap| meeting(output, tap)).collect()).collect()
    }

    /// For every input pixel, the taps through which it reaches an output pixel.
    #[cfg(any(test, feature = "autodiff"))]
    pub(super) fn targets(&self) -> Vec<Vec<Meeting>> {
        let mut targets = Vec::new();
        targets.resize_with(self.input, Vec::new);
        for (output, sources) in self.sources().into_iter().enumerate() {
            for Meeting { tap, pixel } in sources {
                targets[pixel].push(Meeting { tap, pixel: output });
            }
        }
        targets
    }

    /// The output pixels at which `tap` meets an input pixel.
    #[cfg(any(test, feature = "autodiff"))]
    pub(super) fn range(&self, tap: usize) -> core::ops::Range<usize> {
        let first = self.before.saturating_sub(tap).div_ceil(self.stride);
        let end = (self.input + self.before).saturating_sub(tap).div_ceil(self.stride).min(self.output);
        first..end.max(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_tensorflows_same() {
        // Input, side, stride to output, before, after: by TensorFlow's documented formula.
        for (sizes, expected) in [
            ((224, 3, 2), (112, 0, 1)),
            ((112, 3, 1), (112, 1, 1)),
            ((56, 5, 2), (28, 1, 2)),
            ((7, 5, 1), (7, 2, 2)),
            ((15, 3, 2), (8, 1, 1)),
            ((1, 5, 2), (1, 2, 2)),
            ((4, 1, 3), (2, 0, 0)),
        ] {
            let axis = Axis::same(sizes.0, sizes.1, sizes.2);
            assert_eq!((axis.output, axis.before, axis.after), expected, "{sizes:?}");
        }
    }

    #[test]
    fn sources_targets_and_ranges_tell_of_the_same_meetings() {
        for (input, side, stride) in [(7, 3, 1), (8, 3, 2), (9, 5, 2), (2, 5, 1), (1, 5, 2), (6, 1, 2)] {
            let axis = Axis::same(input, side, stride);
            let (sources, targets) = (axis.sources(), axis.targets());
            for (output, tap, pixel) in
                (0..axis.output).flat_map(|o| (0..side).flat_map(move |t| (0..input).map(move |p| (o, t, p))))
            {
                let meet = output * stride + tap == pixel + axis.before;
                assert_eq!(sources[output].contains(&Meeting { tap, pixel }), meet);
                assert_eq!(targets[pixel].contains(&Meeting { tap, pixel: output }), meet);
                let inside = (output * stride + tap).checked_sub(axis.before).is_some_and(|p| p < input);
                assert_eq!(axis.range(tap).contains(&output), inside, "{axis:?}, output {output}, tap {tap}");
            }
        }
    }
}
