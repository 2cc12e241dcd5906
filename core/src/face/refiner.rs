//! Moving the five points that [`CenterFace`](super::centerface::CenterFace) found to where the face has them: a small
//! network looks at the face again, aligned and larger. `models/landmark_refiner.md` says how it was trained.

use alloc::vec::Vec;

use burn::module::Module;
use burn::nn::PRelu;
use burn::tensor::{Device, Tensor, TensorData};

use super::alignment::{CropGeometry, CropSpec, Similarity, template};
use super::boxes::ScoredBox;
use super::crop::crop;
use super::layers::{Halving, prelu};
use super::parameters::load;
use super::quality::eye_distance;
use super::window::{is_usable, look};
use super::{Face, FaceError, Landmarks};
use crate::image::RgbImage;
use crate::layers::Linear;

/// The network's view of a face.
const VIEW: CropSpec = CropSpec { geometry: CropGeometry::Dfb, size: 78, margin: 1.25 };
/// Side of an upright square around the view, however it is turned: √2 of its side, and a pixel to interpolate with.
const AROUND: usize = 112;
/// Points that would move by more than this on average keep their place, in parts of the eye distance: the finder errs by
/// less on faces, so the network has lost its way.
const FARTHEST: f32 = 0.25;

/// The network that corrects points. Can be shared between threads.
#[derive(Module, Debug)]
pub struct Refiner {
    conv1: Halving,
    conv2: Halving,
    conv3: Halving,
    conv4: Halving,
    dense5: Linear,
    prelu5: PRelu,
    dense6: Linear,
}

impl Refiner {
    /// Reads the network from the bytes of `landmark_refiner.safetensors`, as `models/train_refiner.py` writes it.
    ///
    /// # Errors
    /// The first tensor that is missing, misshapen, not finite or not of this network.
    pub fn from_safetensors(bytes: &[u8], device: &Device) -> Result<Self, FaceError> {
        load(bytes, "landmark_refiner.safetensors", device, |loader| {
            Ok(Self {
                conv1: Halving::load(loader, "conv1", 3, 16, "prelu1")?,
                conv2: Halving::load(loader, "conv2", 16, 32, "prelu2")?,
                conv3: Halving::load(loader, "conv3", 32, 48, "prelu3")?,
                conv4: Halving::load(loader, "conv4", 48, 64, "prelu4")?,
                dense5: loader.within("dense5", |l| Linear::load(l, 576, 96))?,
                prelu5: prelu(loader, "prelu5", 96)?,
                dense6: loader.within("dense6", |l| Linear::load(l, 96, 10))?,
            })
        })
    }

    /// How far the five points lie from the template's, x and y of each, in parts of the image's side.
    ///
    /// # Shapes
    /// - images: `[n, 78, 78, 3]`, RGB, `(level - 127.5) / 128`
    /// - output: `[n, 10]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.conv4.forward(self.conv3.forward(self.conv2.forward(self.conv1.forward(images))));
        self.dense6.forward(self.prelu5.forward(self.dense5.forward(x.flatten(1, 3))))
    }

    /// Moves the points of `faces`, all of this frame, to where the network sees them. A face stays as it is when its
    /// points determine no view that shows some of the frame, or would move by more than a quarter of the eye distance.
    pub fn refine(&self, frame: &RgbImage, faces: &mut [Face], device: &Device) {
        let (mut seen, mut values) = (Vec::new(), Vec::new());
        for face in faces {
            if let Some(view) = View::of(frame, &face.landmarks) {
                values.extend(view.image.pixels().iter().map(|&level| (f32::from(level) - 127.5) / 128.0));
                seen.push((face, view.to_frame));
            }
        }
        if seen.is_empty() {
            return;
        }
        let shape = [seen.len(), VIEW.size, VIEW.size, 3];
        let images = Tensor::<4>::from_data(TensorData::new(values, shape), device);
        // The network errs differently on a mirrored face, so the mean of both answers is nearer.
        let both = Tensor::cat([images.clone(), images.flip([2])].to_vec(), 0);
        let offsets: Vec<f32> = self.forward(both).into_data().iter::<f32>().collect();
        let (plain, mirrored) = offsets.as_chunks::<10>().0.split_at(seen.len());
        for (((face, to_frame), plain), mirrored) in seen.into_iter().zip(plain).zip(mirrored) {
            let points = mean(&in_view(plain), &mirrored_back(&in_view(mirrored)));
            let points = points.map(|point| to_frame.apply(point.map(f64::from)).map(|coordinate| coordinate as f32));
            if is_plausible(&face.landmarks, &points) {
                face.landmarks = points;
            }
        }
    }
}

/// What the network sees of a face, and where that lies in the frame.
struct View {
    image: RgbImage,
    to_frame: Similarity,
}

impl View {
    /// A face that is larger in the frame than in the view is shrunk by averaging first, so that no pixel is skipped.
    fn of(frame: &RgbImage, landmarks: &Landmarks) -> Option<Self> {
        let to_frame = Similarity::estimate(landmarks, &template(VIEW.geometry, VIEW.size, VIEW.margin))?.inverse();
        let [x, y] = to_frame.apply([(VIEW.size - 1) as f64 / 2.0; 2]).map(|place| place as f32 + 0.5);
        // Frame pixels a pixel of the view.
        let step = to_frame.scale() as f32;
        let half = AROUND as f32 / 2.0 * step;
        let around = ScoredBox { left: x - half, top: y - half, right: x + half, bottom: y + half, score: 1.0 };
        if !is_usable(frame, &around) {
            return None;
        }
        let image = if step > 1.0 {
            let shrunk = |place: f32, edge: f32| (place + 0.5 - edge) / step - 0.5;
            let landmarks = landmarks.map(|[x, y]| [shrunk(x, around.left), shrunk(y, around.top)]);
            crop(&look(frame, &around, AROUND), &landmarks, &VIEW)?
        } else {
            crop(frame, landmarks, &VIEW)?
        };
        Some(Self { image, to_frame })
    }
}

/// The template's points, moved by the network's answer, in pixels of the view.
fn in_view(offsets: &[f32; 10]) -> Landmarks {
    let (offsets, _) = offsets.as_chunks::<2>();
    let mut points = template(VIEW.geometry, VIEW.size, VIEW.margin);
    for (point, offset) in points.iter_mut().zip(offsets) {
        *point = [0, 1].map(|axis| point[axis] + offset[axis] * VIEW.size as f32);
    }
    points
}

/// Points of a mirrored view in the view itself: what was the left eye is the right one.
fn mirrored_back(points: &Landmarks) -> Landmarks {
    let last = (VIEW.size - 1) as f32;
    [1, 0, 2, 4, 3].map(|index: usize| [last - points[index][0], points[index][1]])
}

/// The points halfway between.
fn mean(one: &Landmarks, other: &Landmarks) -> Landmarks {
    core::array::from_fn(|point| [0, 1].map(|axis| (one[point][axis] + other[point][axis]) / 2.0))
}

/// Whether `points` are near enough to `known` to be the same face's.
fn is_plausible(known: &Landmarks, points: &Landmarks) -> bool {
    let distances = known.iter().zip(points).map(|(one, other)| libm::hypotf(one[0] - other[0], one[1] - other[1]));
    distances.sum::<f32>() / 5.0 <= FARTHEST * eye_distance(known)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use std::string::String;

    use safetensors::SafeTensors;

    use super::*;
    use crate::face::Rect;

    fn file(path: &str) -> Vec<u8> {
        std::fs::read(String::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../")) + path).unwrap()
    }

    fn refiner() -> Refiner {
        Refiner::from_safetensors(&file("models/landmark_refiner.safetensors"), &Device::flex()).unwrap()
    }

    fn golden<const D: usize>(file: &[u8], name: &str) -> Tensor<D> {
        let file = SafeTensors::deserialize(file).unwrap();
        let view = file.tensor(name).unwrap();
        let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
        Tensor::from_data(TensorData::new(values, view.shape()), &Device::flex())
    }

    fn face(landmarks: Landmarks) -> Face {
        Face { bounds: Rect { x: 0.0, y: 0.0, width: 9.0, height: 9.0 }, landmarks, confidence: 1.0 }
    }

    /// Red grows with the column, green with the row.
    fn ramp(width: usize, height: usize) -> RgbImage {
        let pixels = (0..width * height).flat_map(|i| [(i % width / 3) as u8, (i / width / 3) as u8, 9]).collect();
        RgbImage::new(width, height, pixels).unwrap()
    }

    #[test]
    fn the_network_answers_as_in_pytorch() {
        let goldens = file("tests/goldens/refiner.safetensors");
        let expected = golden::<2>(&goldens, "offsets");
        let found = refiner().forward(golden(&goldens, "input"));
        let largest: f32 = expected.clone().abs().max().into_scalar();
        let difference: f32 = (found - expected).abs().max().into_scalar();
        assert!(difference < 1e-5 * largest, "{difference} of {largest}");
    }

    #[test]
    fn a_view_shows_each_place_of_the_frame_where_its_transform_says() {
        let frame = ramp(760, 760);
        let (sine, cosine) = 0.3f32.sin_cos();
        for scale in [0.6, 1.0, 2.3, 5.0] {
            let turned = |[x, y]: [f32; 2]| {
                let (x, y) = ((x - 39.0) * scale, (y - 39.0) * scale);
                [380.0 + x * cosine - y * sine, 380.0 + x * sine + y * cosine]
            };
            let view = View::of(&frame, &template(VIEW.geometry, VIEW.size, VIEW.margin).map(turned)).unwrap();
            for (index, &[red, green, _]) in view.image.pixels().as_chunks::<3>().0.iter().enumerate() {
                let [x, y] = view.to_frame.apply([(index % 78) as f64, (index / 78) as f64]);
                // A level is three pixels; 1 / 3 is lost on average in the ramp itself.
                let (across, down) = (x / 3.0 - 0.33 - f64::from(red), y / 3.0 - 0.33 - f64::from(green));
                assert!(across.abs() < 1.3 && down.abs() < 1.3, "{scale}: {across} {down} at {index}");
            }
        }
    }

    #[test]
    fn faces_without_a_view_keep_their_points() {
        let outside = template(CropGeometry::Dfb, 40, 1.0).map(|[x, y]| [x + 5000.0, y]);
        for landmarks in [[[3.0; 2]; 5], [[f32::INFINITY; 2]; 5], outside] {
            let mut faces = [face(landmarks)];
            refiner().refine(&ramp(60, 60), &mut faces, &Device::flex());
            assert_eq!(faces[0].landmarks, landmarks);
        }
    }

    #[test]
    fn a_face_among_others_is_refined_as_alone() {
        let frame = ramp(200, 160);
        let known =
            [0.0, 30.0, 77.0].map(|x| face(template(CropGeometry::Dfb, 90, 1.0).map(|[u, v]| [u + x, v + 20.0])));
        let mut together = known;
        refiner().refine(&frame, &mut together, &Device::flex());
        for (known, found) in known.into_iter().zip(together) {
            let mut alone = [known];
            refiner().refine(&frame, &mut alone, &Device::flex());
            for (one, other) in alone[0].landmarks.as_flattened().iter().zip(found.landmarks.as_flattened()) {
                assert!((one - other).abs() < 1e-3, "{one} is not {other}");
            }
        }
    }

    #[test]
    fn points_that_jump_are_not_believed() {
        let known = template(CropGeometry::Dfb, 100, 1.0);
        let distance = eye_distance(&known);
        assert!(is_plausible(&known, &known.map(|[x, y]| [x + 0.2 * distance, y])));
        assert!(!is_plausible(&known, &known.map(|[x, y]| [x + 0.3 * distance, y])));
        assert!(!is_plausible(&known, &[[f32::NAN; 2]; 5]));
    }
}
