//! The whole way from a frame to the model's input, against the core's.

use unmask_core::face::Landmarks;
use unmask_core::face::alignment::{CropGeometry, CropSpec as CoreSpec, Similarity as CoreSimilarity, template};
use unmask_core::face::crop::crop;
use unmask_core::image::{Interpolation, RgbImage};

use super::frames::{noise, padded, photograph, size};
use super::gpu::{Gpu, gpu};
use crate::resize::Kernel;
use crate::runner::{CropError, CropPipeline, CropSpec, Frame, image, storage};
use crate::warp::Similarity;

/// CLIP's, as most detectors have them.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

const MARGIN: f32 = 1.3;

/// Where a face is in a frame: turned, and in which proportion to its crop.
struct Pose {
    degrees: f64,
    /// Pixels of the frame to one pixel of the crop.
    scale: f64,
    /// The centre of the crop, in parts of the frame's width and height.
    centre: [f64; 2],
}

const POSES: [Pose; 7] = [
    Pose { degrees: 0.0, scale: 1.0, centre: [0.5, 0.5] },
    Pose { degrees: 14.0, scale: 0.41, centre: [0.4, 0.55] },
    Pose { degrees: -33.0, scale: 1.73, centre: [0.6, 0.45] },
    Pose { degrees: 5.0, scale: 4.9, centre: [0.5, 0.5] },
    Pose { degrees: 90.0, scale: 0.8, centre: [0.02, 0.1] },
    Pose { degrees: 171.0, scale: 1.2, centre: [0.97, 1.03] },
    Pose { degrees: -8.0, scale: 0.9, centre: [3.0, -2.0] },
];

/// Side of the crop, side of the input, and what is between them.
const SIZES: [(u32, u32, Interpolation); 5] = [
    (256, 224, Interpolation::Bicubic),
    (224, 224, Interpolation::Bicubic),
    (256, 256, Interpolation::Bilinear),
    (256, 112, Interpolation::Bilinear),
    (112, 224, Interpolation::Bicubic),
];

impl Pose {
    /// The landmarks of such a face.
    fn landmarks(&self, frame: &RgbImage, spec: &CoreSpec) -> Landmarks {
        let (sine, cosine) = self.degrees.to_radians().sin_cos();
        let middle = spec.size as f64 / 2.0;
        let centre = [self.centre[0] * frame.width() as f64, self.centre[1] * frame.height() as f64];
        template(spec.geometry, spec.size, spec.margin).map(|point| {
            let [x, y] = point.map(|coordinate| (f64::from(coordinate) - middle) * self.scale);
            [centre[0] + cosine * x - sine * y, centre[1] + sine * x + cosine * y].map(|coordinate| coordinate as f32)
        })
    }
}

fn kernel(interpolation: Interpolation) -> Kernel {
    match interpolation {
        Interpolation::Bilinear => Kernel::Bilinear,
        Interpolation::Bicubic => Kernel::Bicubic,
    }
}

fn spec_of(crop_size: u32, input_size: u32, interpolation: Interpolation) -> CropSpec {
    CropSpec { crop_size, input_size, kernel: kernel(interpolation), mean: MEAN, std: STD }
}

/// The transform from the crop to the frame, as the core's `crop` has it.
fn to_frame(landmarks: &Landmarks, spec: &CoreSpec) -> Similarity {
    let to_crop = CoreSimilarity::estimate(landmarks, &template(spec.geometry, spec.size, spec.margin)).unwrap();
    let to_frame = to_crop.inverse();
    Similarity::of_images(to_frame.apply([0.0, 0.0]), to_frame.apply([1.0, 0.0]))
}

/// The model's input as the core makes it.
fn on_cpu(frame: &RgbImage, landmarks: &Landmarks, spec: &CoreSpec, input: usize, how: Interpolation) -> Vec<f32> {
    let resized = crop(frame, landmarks, spec).unwrap().resize(input, input, how);
    let channel = |channel: usize| {
        let levels = resized.pixels().iter().skip(channel).step_by(3);
        levels.map(move |level| (f32::from(*level) / 255.0 - MEAN[channel]) / STD[channel]).collect::<Vec<_>>()
    };
    (0..3).flat_map(channel).collect()
}

/// How far an input is from the core's.
#[derive(Clone, Copy, Default)]
struct Difference {
    /// The largest, in levels of 255.
    worst: f32,
    /// Numbers that are half a level away or more.
    apart: usize,
}

impl Difference {
    fn between(found: &[f32], expected: &[f32]) -> Self {
        assert_eq!(found.len(), expected.len());
        let plane = found.len() / 3;
        let mut difference = Self::default();
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            let levels = (found - expected).abs() * STD[index / plane] * 255.0;
            difference.worst = difference.worst.max(levels);
            difference.apart += usize::from(levels >= 0.5);
        }
        difference
    }

    fn and(self, other: Self) -> Self {
        Self { worst: self.worst.max(other.worst), apart: self.apart + other.apart }
    }
}

/// Every pose in both geometries, from a buffer and from a texture, each into its place of one batch.
fn assert_equal_to_the_core(gpu: &Gpu, name: &str, frame: &RgbImage, sizes: &[(u32, u32, Interpolation)]) {
    let buffer = storage(&gpu.device, &padded(frame));
    let texture = gpu.texture(size(frame), &padded(frame));
    let frames = [
        Frame::Buffer { pixels: buffer.as_entire_buffer_binding(), size: size(frame) },
        Frame::Texture { view: &texture, size: size(frame) },
    ];
    for &(crop_size, input_size, interpolation) in sizes {
        let pipeline = CropPipeline::new(&gpu.device, spec_of(crop_size, input_size, interpolation));
        let geometries = [CropGeometry::Dfb, CropGeometry::Gend];
        let specs = geometries.map(|geometry| CoreSpec { geometry, size: crop_size as usize, margin: MARGIN });
        let faces: Vec<(CoreSpec, Landmarks)> =
            (specs.iter()).flat_map(|spec| POSES.iter().map(|pose| (*spec, pose.landmarks(frame, spec)))).collect();
        let expected: Vec<f32> = (faces.iter())
            .flat_map(|(spec, landmarks)| on_cpu(frame, landmarks, spec, input_size as usize, interpolation))
            .collect();
        let mut all = Difference::default();
        for source in &frames {
            let found = batch(gpu, &pipeline, source, &faces);
            let length = pipeline.crop_length() as usize;
            for (index, (found, expected)) in found.chunks(length).zip(expected.chunks(length)).enumerate() {
                let difference = Difference::between(found, expected);
                let Difference { worst, apart } = difference;
                let case = format!("{name}, {crop_size} to {input_size}, face {index}");
                assert!(worst < 1.001, "{case}: {worst} levels");
                // Rounding goes the other way only where a sum is all but half way between two levels.
                assert!(apart * 10_000 <= length, "{case}: {apart} of {length} differ");
                all = all.and(difference);
            }
        }
        let count = 2 * expected.len();
        let Difference { worst, apart } = all;
        eprintln!("{name}, {crop_size} to {input_size}: {worst:.5} levels at most, {apart} of {count} numbers differ");
    }
}

/// All faces of a frame in one batch `[n, 3, input, input]`, encoded at once.
fn batch(gpu: &Gpu, pipeline: &CropPipeline, frame: &Frame<'_>, faces: &[(CoreSpec, Landmarks)]) -> Vec<f32> {
    let batch = image(&gpu.device, [pipeline.crop_length(), faces.len() as u32]);
    gpu.run(|encoder| {
        for (index, (spec, landmarks)) in (0..).zip(faces) {
            let (output, offset) = (batch.as_entire_buffer_binding(), index * pipeline.crop_length());
            pipeline.encode(encoder, frame, to_frame(landmarks, spec), output, offset).unwrap();
        }
    });
    gpu.read_numbers(&batch)
}

#[test]
fn crops_of_a_synthetic_frame_equal_the_cores_to_one_level() {
    let Some(gpu) = gpu() else { return };
    assert_equal_to_the_core(gpu, "noise", &noise(640, 480), &SIZES);
}

#[test]
fn crops_of_a_large_frame_equal_the_cores_to_one_level() {
    let Some(gpu) = gpu() else { return };
    assert_equal_to_the_core(gpu, "large noise", &noise(3840, 2160), &SIZES[..1]);
}

#[test]
fn crops_of_a_photograph_equal_the_cores_to_one_level() {
    let Some(gpu) = gpu() else { return };
    assert_equal_to_the_core(gpu, "photograph", &photograph(), &SIZES);
}

#[test]
fn a_frame_or_an_output_smaller_than_said_is_refused() {
    let Some(gpu) = gpu() else { return };
    let frame = noise(20, 10);
    let pipeline = CropPipeline::new(&gpu.device, spec_of(16, 8, Interpolation::Bilinear));
    let buffer = storage(&gpu.device, &padded(&frame));
    let texture = gpu.texture(size(&frame), &padded(&frame));
    let batch = image(&gpu.device, [pipeline.crop_length(), 2]);
    let identity = Similarity { a: 1.0, b: 0.0, dx: 0.0, dy: 0.0 };
    gpu.run(|encoder| {
        let mut encode = |frame: Frame<'_>, offset: u32| {
            pipeline.encode(encoder, &frame, identity, batch.as_entire_buffer_binding(), offset)
        };
        let pixels = buffer.as_entire_buffer_binding();
        assert_eq!(encode(Frame::Buffer { pixels: pixels.clone(), size: [20, 11] }, 0), Err(CropError::FrameTooSmall));
        assert_eq!(encode(Frame::Texture { view: &texture, size: [21, 10] }, 0), Err(CropError::FrameTooSmall));
        let whole = Frame::Buffer { pixels, size: [20, 10] };
        assert_eq!(encode(whole.clone(), pipeline.crop_length() + 1), Err(CropError::OutputTooSmall));
        assert_eq!(encode(whole.clone(), u32::MAX), Err(CropError::OutputTooSmall));
        assert_eq!(encode(whole, pipeline.crop_length()), Ok(()));
    });
}

#[test]
fn a_smaller_frame_in_a_corner_of_a_texture_ends_at_its_own_edge() {
    let Some(gpu) = gpu() else { return };
    let white = [255; 4].repeat(32 * 32);
    let texture = gpu.texture([32, 32], &white);
    let pipeline = CropPipeline::new(
        &gpu.device,
        CropSpec { mean: [0.0; 3], std: [1.0; 3], ..spec_of(32, 32, Interpolation::Bilinear) },
    );
    let output = image(&gpu.device, [pipeline.crop_length(), 1]);
    let identity = Similarity { a: 1.0, b: 0.0, dx: 0.0, dy: 0.0 };
    gpu.run(|encoder| {
        let frame = Frame::Texture { view: &texture, size: [20, 10] };
        pipeline.encode(encoder, &frame, identity, output.as_entire_buffer_binding(), 0).unwrap();
    });
    let found = gpu.read_numbers(&output);
    for (pixel, value) in found.iter().enumerate().map(|(index, value)| (index % (32 * 32), value)) {
        let is_inside = pixel % 32 < 20 && pixel / 32 < 10;
        assert_eq!(*value, f32::from(u8::from(is_inside)));
    }
}
