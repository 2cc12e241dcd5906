//! From a decoder's planes to pixels, with the arithmetic of ffmpeg's `swscale` as the native program calls it (`bicubic`,
//! `accurate_rnd`, `full_chroma_int`). Each browser fills in colours between the coarser samples of Y'CbCr in its own way;
//! detectors look at such traces, and a score moves by more than a tenth with them.

/// How a frame's planes lie in memory, by the names of WebCodecs: without gaps, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// Pixels that share a sample of colour, across and down.
    across: usize,
    down: usize,
    /// Whether both colours alternate in one plane.
    paired: bool,
    /// Bits of a sample: eight, or ten in two bytes with the lower first.
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
}

/// From 1/65536 to 1/8192.
fn rounded(weight: i64) -> i32 {
    ((weight + 4) >> 3) as i32
}

/// The samples that a point lies among, and what each contributes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Taps {
    /// The first of four, where the first sample of all has two before it.
    first: usize,
    weights: [i32; 4],
}

/// For each of `points` how it is made of `samples` over the same length, by Keys' cubic with a = -0.6; weights add up to `one`.
fn taps(samples: usize, points: usize, one: i32) -> Vec<Taps> {
    // In 1/65536 of a sample, as `swscale` steps: where sizes are odd, the last point falls short of the last sample's end.
    let step = ((samples << 16) + points / 2) / points;
    let taps = |point: usize| {
        let place = (point as f64 + 0.5) * step as f64 / 65_536.0 - 0.5;
        let before = place.floor();
        let mut error = 0.0;
        let weights = [-1.0, 0.0, 1.0, 2.0].map(|offset| {
            let exact = cubic(place - before - offset) * f64::from(one) + error;
            error = exact - exact.round();
            exact.round() as i32
        });
        Taps { first: (before + 1.0) as usize, weights }
    };
    (0..points).map(taps).collect()
}

fn cubic(distance: f64) -> f64 {
    let d = distance.abs();
    if d < 1.0 { (1.4 * d - 2.4) * d * d + 1.0 } else { ((-0.6 * d + 3.0) * d - 4.8) * d + 2.4 }
}

/// Bits of the numbers that are computed with.
const DEPTH: u32 = 15;

/// Four-byte pixels of a frame whose `planes` are in this format, `None` where the format or the matrix is not one of those
/// above, or the bytes do not fit the size.
pub fn rgba(planes: &[u8], format: &str, size: (usize, usize), matrix: &str, full_range: bool) -> Option<Vec<u8>> {
    let layout = Layout::named(format)?;
    let weights = Weights::named(matrix, full_range)?;
    if layout.depth == 8 {
        return converted(planes, layout, size, &weights);
    }
    let (samples, rest) = planes.as_chunks::<2>();
    let samples: Vec<u16> = samples.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
    if rest.is_empty() { converted(&samples, layout, size, &weights) } else { None }
}

fn converted<T: Copy + Into<i32>>(
    planes: &[T],
    layout: Layout,
    (width, height): (usize, usize),
    weights: &Weights,
) -> Option<Vec<u8>> {
    let (columns, rows) = (width.div_ceil(layout.across), height.div_ceil(layout.down));
    if width == 0 || height == 0 || planes.len() != width * height + 2 * columns * rows {
        return None;
    }
    let (luma, chroma) = planes.split_at(width * height);
    let down = taps(rows, height, 1 << 12);
    let [blue, red] = [0, 1].map(|colour| wide_rows(chroma, colour, layout, (columns, rows), width));
    let mut pixels = vec![255; 4 * width * height];
    let (mut blue_row, mut red_row) = (vec![0; width], vec![0; width]);
    let lines = luma.chunks_exact(width).zip(pixels.chunks_exact_mut(4 * width));
    for ((luma, pixels), taps) in lines.zip(&down) {
        interpolate_down(&blue, *taps, rows, &mut blue_row);
        interpolate_down(&red, *taps, rows, &mut red_row);
        write_row(weights, luma, DEPTH + 2 - layout.depth, &blue_row, &red_row, pixels);
    }
    Some(pixels)
}

/// One colour's rows, each as wide as the frame, in [`DEPTH`] bits.
fn wide_rows<T: Copy + Into<i32>>(
    chroma: &[T],
    colour: usize,
    layout: Layout,
    (columns, rows): (usize, usize),
    width: usize,
) -> Vec<i32> {
    let sample = |row: usize, column: usize| match layout.paired {
        true => chroma[2 * (row * columns + column) + colour],
        false => chroma[(colour * rows + row) * columns + column],
    };
    const WEIGHT_BITS: u32 = 14;
    let across = taps(columns, width, 1 << WEIGHT_BITS);
    let narrower = WEIGHT_BITS + layout.depth - DEPTH;
    let mut wide = vec![0; rows * width];
    // A row with its ends repeated, so that every point has four neighbours.
    let mut padded = vec![0; columns + 4];
    for (row, wide) in wide.chunks_exact_mut(width).enumerate() {
        for (index, padded) in padded.iter_mut().enumerate() {
            *padded = sample(row, index.saturating_sub(2).min(columns - 1)).into();
        }
        for (wide, Taps { first, weights }) in wide.iter_mut().zip(&across) {
            let samples = &padded[*first..first + 4];
            let sum: i32 = samples.iter().zip(weights).map(|(sample, weight)| sample * weight).sum();
            *wide = (sum >> narrower).min(i32::from(i16::MAX));
        }
    }
    wide
}

/// The colour's values in a line of the frame, about zero, in 1/512.
fn interpolate_down(wide: &[i32], Taps { first, weights }: Taps, rows: usize, values: &mut [i32]) {
    const ROUNDING: i32 = (1 << 9) - (128 << 19);
    let width = values.len();
    let row = |tap: usize| {
        let start = (first + tap).saturating_sub(2).min(rows - 1) * width;
        &wide[start..start + width]
    };
    let rows = [0, 1, 2, 3].map(row);
    for (x, value) in values.iter_mut().enumerate() {
        let sum = weights[0] * rows[0][x] + weights[1] * rows[1][x] + weights[2] * rows[2][x] + weights[3] * rows[3][x];
        *value = (sum + ROUNDING) >> 10;
    }
}

fn write_row<T: Copy + Into<i32>>(
    weights: &Weights,
    luma: &[T],
    wider: u32,
    blue: &[i32],
    red: &[i32],
    pixels: &mut [u8],
) {
    const HALF: i32 = 1 << 21;
    let byte = |value: i32| (value >> 22).clamp(0, 255) as u8;
    for (x, pixel) in pixels.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let light = ((luma[x].into() << wider) - weights.black) * weights.luma + HALF;
        // Colours far beyond those of a screen leave the range of 32 bits.
        let channel = |colour: i32| byte(light.saturating_add(colour));
        let green = weights.green[0] * blue[x] + weights.green[1] * red[x];
        *pixel = [channel(weights.red * red[x]), channel(green), channel(weights.blue * blue[x]), 255];
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// Runs ffmpeg on raw planes; `None`, saying so, where it is absent.
    fn converted_by_ffmpeg(planes: &Path, format: &str, width: usize, height: usize, scale: &str) -> Option<Vec<u8>> {
        let size = format!("{width}x{height}");
        let filter = format!("scale={width}:{height}:flags=bicubic+accurate_rnd+full_chroma_int:{scale},format=rgb24");
        let input = ["-v", "error", "-f", "rawvideo", "-pix_fmt", format, "-s", &size, "-i", planes.to_str()?];
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

    #[test]
    fn pixels_are_those_of_ffmpeg() {
        let folder = tempfile::tempdir().unwrap();
        for (ours, theirs, width, height, samples) in [
            ("I420", "yuv420p", 64, 48, 64 * 48 * 3 / 2),
            ("I420", "yuv420p", 63, 47, 63 * 47 + 2 * 32 * 24),
            ("NV12", "nv12", 64, 48, 64 * 48 * 3 / 2),
            ("I422", "yuv422p", 64, 48, 64 * 48 * 2),
            ("I444", "yuv444p", 64, 48, 64 * 48 * 3),
            ("I420P10", "yuv420p10le", 64, 48, 64 * 48 * 3 / 2),
            ("I444P10", "yuv444p10le", 64, 48, 64 * 48 * 3),
        ] {
            let deep = |byte: u8| (4 * u16::from(byte) + 1).to_le_bytes();
            // Where sizes are odd, weights differ from point to point, and some by a rounding.
            let limit = (width % 2) as u8;
            let planes = noise(samples);
            let planes = if ours.ends_with("P10") { planes.into_iter().flat_map(deep).collect() } else { planes };
            let path = folder.path().join(theirs);
            std::fs::write(&path, &planes).unwrap();
            for (matrix, name) in [("bt709", "bt709"), ("smpte170m", "bt601"), ("bt2020-ncl", "bt2020")] {
                for (full_range, range) in [(false, "tv"), (true, "pc")] {
                    let scale = format!("in_color_matrix={name}:in_range={range}");
                    let Some(theirs) = converted_by_ffmpeg(&path, theirs, width, height, &scale) else { return };
                    let rgba = rgba(&planes, ours, (width, height), matrix, full_range).unwrap();
                    let pixels = rgba.as_chunks::<4>().0.iter().zip(theirs.as_chunks::<3>().0).enumerate();
                    for (index, (pixel, expected)) in pixels {
                        let (x, y) = (index % width, index / width);
                        // At the edges `swscale` rounds folded weights, and shifts those of the third row and column.
                        let inside = (4..width - 4).contains(&x) && (4..height - 4).contains(&y);
                        let far = pixel.iter().zip(expected).map(|(ours, theirs)| ours.abs_diff(*theirs)).max();
                        assert!(!inside || far <= Some(limit), "{ours} {matrix} {range} at {x}, {y}: {pixel:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn grey_stays_grey_in_frames_of_any_size() {
        for (width, height) in [(1, 1), (3, 5), (2, 1), (7, 2)] {
            let samples = usize::div_ceil(width, 2) * usize::div_ceil(height, 2);
            let planes = [vec![126; width * height], vec![128; 2 * samples]].concat();
            let pixels = rgba(&planes, "I420", (width, height), "bt709", false).unwrap();
            assert_eq!(pixels, [128, 128, 128, 255].repeat(width * height));
        }
    }

    #[test]
    fn what_is_not_known_or_does_not_fit_gives_nothing() {
        assert_eq!(rgba(&[0; 6], "I420P12", (2, 2), "bt709", false), None);
        assert_eq!(rgba(&[0; 6], "I420", (2, 2), "rgb", false), None);
        assert_eq!(rgba(&[0; 5], "I420", (2, 2), "bt709", false), None);
        assert_eq!(rgba(&[0; 13], "I420P10", (2, 2), "bt709", false), None);
        assert_eq!(rgba(&[], "I420", (0, 0), "bt709", false), None);
    }
}
