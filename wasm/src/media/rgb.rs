//! From a decoder's planes to pixels, with the arithmetic of ffmpeg's `swscale` as the native program calls it (`bicubic`,
//! `accurate_rnd`, `full_chroma_int`). Each browser fills in colours between the coarser samples of Y'CbCr in its own way;
//! detectors look at such traces, and a score moves by more than a tenth with them.

use super::scale::{LINE_BITS, Plane, Value};

/// How a frame's planes lie in memory, by the names of WebCodecs: without gaps, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// Pixels that share a sample of colour, across and down.
    across: usize,
    down: usize,
    /// Whether both colours alternate in one plane.
    paired: bool,
    /// Bits of a sample: eight, or more in two bytes with the lower first.
    depth: u32,
}

impl Layout {
    fn named(format: &str) -> Option<Self> {
        let (across, down, paired, depth) = match format {
            "I420" => (2, 2, false, 8),
            "I422" => (2, 1, false, 8),
            "I444" => (1, 1, false, 8),
            "NV12" => (2, 2, true, 8),
            "I420P10" => (2, 2, false, 10),
            "I422P10" => (2, 1, false, 10),
            "I444P10" => (1, 1, false, 10),
            "I420P12" => (2, 2, false, 12),
            "I422P12" => (2, 1, false, 12),
            "I444P12" => (1, 1, false, 12),
            _ => return None,
        };
        Some(Self { across, down, paired, depth })
    }
}

/// Weights of Y', Cb and Cr in red, green and blue, in 1/8192, and the black level in 1/512.
struct Weights {
    luma: i32,
    black: i32,
    red: i32,
    green: [i32; 2],
    blue: i32,
}

impl Weights {
    /// Those of a matrix by its name in WebCodecs. `swscale`'s table has them for the limited range, in 1/65536.
    fn named(matrix: &str, full_range: bool) -> Option<Self> {
        let [red, blue, green_blue, green_red] = match matrix {
            "bt709" => [117_489, 138_438, 13_975, 34_925],
            "bt470bg" | "smpte170m" => [104_597, 132_201, 25_675, 53_279],
            "bt2020-ncl" => [110_013, 140_363, 12_277, 42_626],
            _ => return None,
        };
        let chroma = |weight: i64| rounded(if full_range { weight * 224 / 255 } else { weight });
        let (luma, black) = if full_range { (1 << 16, 0) } else { ((255 << 16) / 219, 16 << 9) };
        Some(Self {
            luma: rounded(luma),
            black,
            red: chroma(red),
            green: [chroma(-green_blue), chroma(-green_red)],
            blue: chroma(blue),
        })
    }

    /// What colours add to the light in red, green and blue.
    fn colours(&self, blue: i32, red: i32) -> [i32; 3] {
        [self.red * red, self.green[0] * blue + self.green[1] * red, self.blue * blue]
    }
}

/// From 1/65536 to 1/8192.
fn rounded(weight: i64) -> i32 {
    ((weight + 4) >> 3) as i32
}

/// A decoded frame and how it is to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Planes<'a> {
    /// The planes, without gaps, one after the other.
    pub bytes: &'a [u8],
    /// Their format as WebCodecs names it.
    pub format: &'a str,
    /// Width and height of the frame.
    pub size: (usize, usize),
    /// Width and height in which it is shown.
    pub shown: (usize, usize),
    /// The matrix as WebCodecs names it.
    pub matrix: &'a str,
    /// Whether all values are used.
    pub full_range: bool,
}

impl Planes<'_> {
    /// Three bytes a pixel. `None` where the format or the matrix is not one of those above, or the bytes do not fit the size.
    pub fn rgb(&self) -> Option<Vec<u8>> {
        self.converted::<i16, u8>(write_bytes)
    }

    /// Three numbers of sixteen bits a pixel, or `None` as above.
    pub fn rgb_deep(&self) -> Option<Vec<u16>> {
        self.converted::<i32, u16>(write_words)
    }

    fn converted<V: Value, P: Copy + Default>(&self, write: LineWriter<P>) -> Option<Vec<P>> {
        let layout = Layout::named(self.format)?;
        let weights = Weights::named(self.matrix, self.full_range)?;
        let write =
            |light: &[i32], blue: &[i32], red: &[i32], pixels: &mut [P]| write(&weights, light, blue, red, pixels);
        if layout.depth == 8 {
            return converted::<u8, V, P>(self.bytes, layout, self.size, self.shown, write);
        }
        let (samples, rest) = self.bytes.as_chunks::<2>();
        let samples: Vec<u16> = samples.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
        if rest.is_empty() { converted::<u16, V, P>(&samples, layout, self.size, self.shown, write) } else { None }
    }
}

/// Makes a line's pixels of its light and its colours.
type LineWriter<P> = fn(&Weights, &[i32], &[i32], &[i32], &mut [P]);

fn converted<T: Copy + Into<i32>, V: Value, P: Copy + Default>(
    planes: &[T],
    layout: Layout,
    size: (usize, usize),
    shown: (usize, usize),
    write: impl Fn(&[i32], &[i32], &[i32], &mut [P]),
) -> Option<Vec<P>> {
    let (columns, rows) = (size.0.div_ceil(layout.across), size.1.div_ceil(layout.down));
    let is_empty = [size.0, size.1, shown.0, shown.1].contains(&0);
    if is_empty || planes.len() != size.0 * size.1 + 2 * columns * rows {
        return None;
    }
    let (luma, chroma) = planes.split_at(size.0 * size.1);
    let colour = |colour: usize| {
        let sample = |row: usize, column: usize| match layout.paired {
            true => chroma[2 * (row * columns + column) + colour].into(),
            false => chroma[(colour * rows + row) * columns + column].into(),
        };
        Plane::<V>::new(sample, (columns, rows), layout.depth, shown)
    };
    let (blue, red) = (colour(0), colour(1));
    let brightness = |row: usize, column: usize| luma[row * size.0 + column].into();
    let light = (size != shown).then(|| Plane::<V>::new(brightness, size, layout.depth, shown));
    let mut pixels = vec![P::default(); 3 * shown.0 * shown.1];
    let [mut light_line, mut blue_line, mut red_line] = [(); 3].map(|()| vec![0; shown.0]);
    for (line, pixels) in pixels.chunks_exact_mut(3 * shown.0).enumerate() {
        match &light {
            Some(light) => {
                light.line(line, &mut light_line);
                light_line.iter_mut().for_each(|light| *light += 1 << (LINE_BITS - 1));
            }
            None => {
                let samples = luma[line * size.0..][..size.0].iter();
                let widen = |(light, sample): (&mut i32, &T)| *light = (*sample).into() << (LINE_BITS - layout.depth);
                light_line.iter_mut().zip(samples).for_each(widen);
            }
        }
        blue.line(line, &mut blue_line);
        red.line(line, &mut red_line);
        write(&light_line, &blue_line, &red_line, pixels);
    }
    Some(pixels)
}

/// Pixels of eight bits a channel, from light and colours in 1/512 of a level.
fn write_bytes(weights: &Weights, light: &[i32], blue: &[i32], red: &[i32], pixels: &mut [u8]) {
    const SHIFT: u32 = 22;
    for (x, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let light = (light[x] - weights.black) * weights.luma + (1 << (SHIFT - 1));
        // Colours far beyond those of a screen leave the range of 32 bits.
        *pixel =
            weights.colours(blue[x], red[x]).map(|colour| (light.saturating_add(colour) >> SHIFT).clamp(0, 255) as u8);
    }
}

/// Pixels of sixteen bits a channel.
fn write_words(weights: &Weights, light: &[i32], blue: &[i32], red: &[i32], pixels: &mut [u16]) {
    const SHIFT: u32 = 14;
    for (x, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        // About the middle, since a whole one needs all bits there are.
        let light = ((light[x] - weights.black) * weights.luma).wrapping_add((1 << (SHIFT - 1)) - (1 << 29));
        let word = |colour: i32| ((light.saturating_add(colour) >> SHIFT) + (1 << 15)).clamp(0, u16::MAX.into()) as u16;
        *pixel = weights.colours(blue[x], red[x]).map(word);
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::*;

    /// Runs ffmpeg on raw planes; `None`, saying so, where it is absent.
    fn converted_by_ffmpeg(
        path: &Path,
        format: &str,
        planes: &Planes<'_>,
        scale: &str,
        pixels: &str,
    ) -> Option<Vec<u8>> {
        let ((width, height), (wide, high)) = (planes.size, planes.shown);
        let size = format!("{width}x{height}");
        let filter = format!("scale={wide}:{high}:flags=bicubic+accurate_rnd+full_chroma_int:{scale},format={pixels}");
        let input = ["-v", "error", "-f", "rawvideo", "-pix_fmt", format, "-s", &size, "-i", path.to_str()?];
        let output = Command::new("ffmpeg").args(input).args(["-vf", &filter, "-f", "rawvideo", "-"]).output();
        match output {
            Ok(output) if output.status.success() => Some(output.stdout),
            other => {
                eprintln!("skipped: ffmpeg: {other:?}");
                None
            }
        }
    }

    /// Values that change from sample to sample, within what `swscale` does not overflow at.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            64 + (state >> 25) as u8
        };
        (0..length).map(next).collect()
    }

    /// Planes of noise as WebCodecs names their format, written to a file in `folder`.
    fn noisy(folder: &Path, format: &str, samples: usize) -> (Vec<u8>, PathBuf) {
        let deep = |byte: u8| (4 * u16::from(byte) + 1).to_le_bytes();
        let planes = noise(samples);
        let planes = if format.ends_with("P10") { planes.into_iter().flat_map(deep).collect() } else { planes };
        let path = folder.join(format);
        std::fs::write(&path, &planes).unwrap();
        (planes, path)
    }

    /// No pixel is further than `limit` from ffmpeg's, but for the edges, where `swscale` rounds folded weights, and shifts
    /// those of the third row and column.
    fn assert_near(ours: &[u16], theirs: &[u16], (width, height): (usize, usize), limit: u16, what: &str) {
        assert_eq!(ours.len(), theirs.len(), "{what}");
        let pixels = ours.as_chunks::<3>().0.iter().zip(theirs.as_chunks::<3>().0).enumerate();
        for (index, (pixel, expected)) in pixels {
            let (x, y) = (index % width, index / width);
            let edge = (4 * width).div_ceil(48);
            let inside = (edge..width - edge).contains(&x) && (edge..height - edge).contains(&y);
            let far = pixel.iter().zip(expected).map(|(ours, theirs)| ours.abs_diff(*theirs)).max();
            assert!(!inside || far <= Some(limit), "{what} at {x}, {y}: {pixel:?} instead of {expected:?}");
        }
    }

    fn assert_as_ffmpeg(planes: &Planes<'_>, path: &Path, theirs: &str, scale: &str, limit: u16) {
        let Some(expected) = converted_by_ffmpeg(path, theirs, planes, scale, "rgb24") else { return };
        let words = |bytes: &[u8]| bytes.iter().map(|byte| u16::from(*byte)).collect::<Vec<_>>();
        assert_near(&words(&planes.rgb().unwrap()), &words(&expected), planes.shown, limit, scale);
    }

    #[test]
    fn pixels_are_those_of_ffmpeg() {
        let folder = tempfile::tempdir().unwrap();
        for (format, theirs, width, height, samples) in [
            ("I420", "yuv420p", 64, 48, 64 * 48 * 3 / 2),
            ("I420", "yuv420p", 63, 47, 63 * 47 + 2 * 32 * 24),
            ("NV12", "nv12", 64, 48, 64 * 48 * 3 / 2),
            ("I422", "yuv422p", 64, 48, 64 * 48 * 2),
            ("I444", "yuv444p", 64, 48, 64 * 48 * 3),
            ("I420P10", "yuv420p10le", 64, 48, 64 * 48 * 3 / 2),
            ("I444P10", "yuv444p10le", 64, 48, 64 * 48 * 3),
        ] {
            // Where sizes are odd, weights differ from point to point, and some by a rounding.
            let limit = (width % 2) as u16;
            let (bytes, path) = noisy(folder.path(), format, samples);
            for (matrix, name) in [("bt709", "bt709"), ("smpte170m", "bt601"), ("bt2020-ncl", "bt2020")] {
                for (full_range, range) in [(false, "tv"), (true, "pc")] {
                    let (size, shown) = ((width, height), (width, height));
                    let planes = Planes { bytes: &bytes, format, size, shown, matrix, full_range };
                    assert_as_ffmpeg(
                        &planes,
                        &path,
                        theirs,
                        &format!("in_color_matrix={name}:in_range={range}"),
                        limit,
                    );
                }
            }
        }
    }

    /// Sixty-four by forty-eight samples of each of these formats.
    const FORMATS: [(&str, &str, usize); 3] = [
        ("I420", "yuv420p", 64 * 48 * 3 / 2),
        ("I422", "yuv422p", 64 * 48 * 2),
        ("I420P10", "yuv420p10le", 64 * 48 * 3 / 2),
    ];

    #[test]
    fn frames_in_another_size_are_those_of_ffmpeg() {
        let folder = tempfile::tempdir().unwrap();
        for (format, theirs, samples) in FORMATS {
            let (bytes, path) = noisy(folder.path(), format, samples);
            for shown in [(85, 48), (64, 64), (128, 96), (93, 71), (48, 36), (40, 48), (31, 23)] {
                let planes =
                    Planes { bytes: &bytes, format, size: (64, 48), shown, matrix: "bt709", full_range: false };
                assert_as_ffmpeg(&planes, &path, theirs, "in_color_matrix=bt709:in_range=tv", 1);
            }
        }
    }

    #[test]
    fn pixels_of_sixteen_bits_are_those_of_ffmpeg() {
        let folder = tempfile::tempdir().unwrap();
        for (format, theirs, samples) in FORMATS {
            let (bytes, path) = noisy(folder.path(), format, samples);
            for (shown, full_range, range) in [((64, 48), false, "tv"), ((64, 48), true, "pc"), ((85, 40), false, "tv")]
            {
                let planes = Planes { bytes: &bytes, format, size: (64, 48), shown, matrix: "bt2020-ncl", full_range };
                let scale = format!("in_color_matrix=bt2020:in_range={range}");
                let Some(expected) = converted_by_ffmpeg(&path, theirs, &planes, &scale, "rgb48le") else { return };
                let expected: Vec<u16> =
                    expected.as_chunks::<2>().0.iter().map(|word| u16::from_le_bytes(*word)).collect();
                // A weight that is rounded otherwise moves a colour by as much as a level of ten bits.
                let limit = if shown == (64, 48) { 0 } else { 64 };
                assert_near(
                    &planes.rgb_deep().unwrap(),
                    &expected,
                    shown,
                    limit,
                    &format!("{format} {shown:?}, {range}"),
                );
            }
        }
    }

    #[test]
    fn grey_stays_grey_in_frames_of_any_size() {
        for (width, height) in [(1, 1), (3, 5), (2, 1), (7, 2)] {
            let samples = usize::div_ceil(width, 2) * usize::div_ceil(height, 2);
            let bytes = [vec![126; width * height], vec![128; 2 * samples]].concat();
            for shown in [(width, height), (5, 4), (1, 9)] {
                let (size, matrix) = ((width, height), "bt709");
                let planes = Planes { bytes: &bytes, format: "I420", size, shown, matrix, full_range: false };
                assert_eq!(planes.rgb().unwrap(), vec![128; 3 * shown.0 * shown.1]);
            }
        }
    }

    #[test]
    fn what_is_not_known_or_does_not_fit_gives_nothing() {
        let gives = |bytes: &[u8], format, matrix, size, shown| {
            Planes { bytes, format, size, shown, matrix, full_range: false }.rgb().is_some()
        };
        assert!(gives(&[0; 6], "I420", "bt709", (2, 2), (2, 2)));
        assert!(!gives(&[0; 6], "I420P14", "bt709", (2, 2), (2, 2)));
        assert!(!gives(&[0; 6], "I420", "rgb", (2, 2), (2, 2)));
        assert!(!gives(&[0; 5], "I420", "bt709", (2, 2), (2, 2)));
        assert!(!gives(&[0; 13], "I420P10", "bt709", (2, 2), (2, 2)));
        assert!(!gives(&[], "I420", "bt709", (0, 0), (2, 2)));
        assert!(!gives(&[0; 6], "I420", "bt709", (2, 2), (2, 0)));
    }
}
