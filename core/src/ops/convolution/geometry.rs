//! Which input pixels a convolution reads for which output pixels.

use alloc::vec::Vec;

/// How a kernel moves over an image, and how many zeros it meets beyond the edge. The two paddings differ where a step is
/// longer than 1: by which pixels the kernel's middle meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Pixels from one place to the next, at least 1.
    pub stride: usize,
    /// Where the first place is.
    pub padding: Padding,
}

/// How zeros are shared out around an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// TensorFlow's `SAME`: the output has `⌈input / stride⌉` places, and what must be padded for that is shared out
    /// evenly, with the odd one after the last pixel.
    Same,
    /// PyTorch's `padding = side / 2` for odd sides: the kernel's middle meets the first pixel first.
    Centred,
    /// So many zeros on every axis, and as many places as fit in: `⌊(input + before + after - side) / stride⌋ + 1`.
    Given {
        /// Before the first pixel.
        before: usize,
        /// After the last pixel.
        after: usize,
    },
}

impl Steps {
    /// Steps of `stride` with [`Padding::Same`].
    pub fn same(stride: usize) -> Self {
        Self { stride, padding: Padding::Same }
    }

    /// Steps of `stride` with [`Padding::Centred`].
    pub fn centred(stride: usize) -> Self {
        Self { stride, padding: Padding::Centred }
    }

    /// Steps of `stride` without any padding.
    pub fn unpadded(stride: usize) -> Self {
        Self { stride, padding: Padding::Given { before: 0, after: 0 } }
    }

    /// The axis of a kernel of `side` over `input` pixels; both are at least 1, and the kernel fits into the padded input.
    pub fn axis(self, input: usize, side: usize) -> Axis {
        let stride = self.stride;
        let output = match self.padding {
            Padding::Same | Padding::Centred => input.div_ceil(stride),
            Padding::Given { before, after } => (input + before + after).saturating_sub(side) / stride + 1,
        };
        let read = (output - 1) * stride + side;
        let before = match self.padding {
            Padding::Same => read.saturating_sub(input) / 2,
            Padding::Centred => (side - 1) / 2,
            Padding::Given { before, .. } => before,
        };
        Axis { input, output, side, stride, before, after: read.saturating_sub(input + before) }
    }
}

/// One axis of a convolution.
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
            let axis = Steps::same(sizes.2).axis(sizes.0, sizes.1);
            assert_eq!((axis.output, axis.before, axis.after), expected, "{sizes:?}");
        }
    }

    #[test]
    fn centred_padding_is_pytorchs_half_side() {
        // Input, side, stride to output: ⌊(input + 2 ⌊side / 2⌋ - side) / stride⌋ + 1, by PyTorch's documented formula.
        for (sizes, expected) in [
            ((224, 3, 2), (112, 1, 0)),
            ((112, 3, 1), (112, 1, 1)),
            ((56, 5, 2), (28, 2, 1)),
            ((15, 3, 2), (8, 1, 1)),
            ((1, 5, 2), (1, 2, 2)),
            ((4, 1, 3), (2, 0, 0)),
        ] {
            let axis = Steps::centred(sizes.2).axis(sizes.0, sizes.1);
            assert_eq!((axis.output, axis.before, axis.after), expected, "{sizes:?}");
        }
    }

    #[test]
    fn given_padding_is_pytorchs_formula_and_what_is_beyond_the_last_place_is_not_read() {
        // Input, side, stride, before, after to output and zeros read after.
        for (sizes, expected) in [
            ((256, 3, 2, 0, 0), (127, 0)),
            ((127, 3, 1, 0, 0), (125, 0)),
            ((127, 3, 2, 0, 1), (63, 0)),
            ((63, 5, 2, 2, 2), (32, 2)),
            ((16, 5, 2, 1, 2), (8, 2)),
            ((3, 3, 2, 0, 0), (1, 0)),
        ] {
            let (input, side, stride, before, after) = sizes;
            let axis = Steps { stride, padding: Padding::Given { before, after } }.axis(input, side);
            assert_eq!((axis.output, axis.before, axis.after), (expected.0, before, expected.1), "{sizes:?}");
        }
    }

    #[test]
    fn sources_targets_and_ranges_tell_of_the_same_meetings() {
        let sizes = [(7, 3, 1), (8, 3, 2), (9, 5, 2), (2, 5, 1), (1, 5, 2), (6, 1, 2)];
        let given = |stride, before, after| Steps { stride, padding: Padding::Given { before, after } };
        let all = |(input, side, stride): (usize, usize, usize)| {
            let padded = given(stride, side - 1, side);
            let mut steps = [Steps::same(stride), Steps::centred(stride), padded].to_vec();
            steps.extend((input >= side).then(|| Steps::unpadded(stride)));
            steps.into_iter().map(move |steps| steps.axis(input, side))
        };
        for axis in sizes.into_iter().flat_map(all) {
            let Axis { input, side, stride, .. } = axis;
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
