//! Where a face's five points go in its crop, and the similarity transform that takes them there.

use serde::{Deserialize, Serialize};

use super::Landmarks;

/// Eyes, nose and corners of the mouth in ArcFace's 112 × 112 crop (Deng et al. 2019), as DeepfakeBench uses them:
/// 8 pixels further right.
const ARCFACE: [[f64; 2]; 5] =
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]];
const ARCFACE_SIZE: f64 = 112.0;

/// The same points in GenD's crop, in parts of its side.
const GEND: [[f64; 2]; 5] = [[0.34, 0.46], [0.66, 0.46], [0.5, 0.64], [0.37, 0.82], [0.63, 0.82]];

/// Where eyes, nose and mouth lie in a crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropGeometry {
    /// As in DeepfakeBench.
    Dfb,
    /// As in GenD.
    Gend,
}

/// A crop: geometry, size and margin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropSpec {
    /// Where the face lies in the crop.
    pub geometry: CropGeometry,
    /// Side of the crop in pixels.
    pub size: usize,
    /// How many times wider than the bare template the view is; 1.3 leaves 15 % of the template's side around it,
    /// and 0.7 cuts 15 % of it off.
    pub margin: f32,
}

impl CropSpec {
    /// DeepfakeBench's, which most published detectors were trained on.
    pub const DEEPFAKEBENCH: Self = Self { geometry: CropGeometry::Dfb, size: 256, margin: 1.3 };
}

/// The five points in a crop of `size` pixels whose view is `margin` times the bare template's.
///
/// ```
/// use unmask_core::face::alignment::{CropGeometry, template};
/// let [left_eye, ..] = template(CropGeometry::Dfb, 256, 1.3);
/// assert!((left_eye[0] - 96.87).abs() < 0.01 && (left_eye[1] - 120.43).abs() < 0.01);
/// ```
pub fn template(geometry: CropGeometry, size: usize, margin: f32) -> Landmarks {
    let margin = f64::from(margin);
    let parts = match geometry {
        CropGeometry::Dfb => ARCFACE.map(|point| point.map(|coordinate| coordinate / ARCFACE_SIZE)),
        CropGeometry::Gend => GEND,
    };
    let place = |part: f64| (part + (margin - 1.0) / 2.0) / margin * size as f64;
    parts.map(|point| point.map(|part| place(part) as f32))
}

/// A similarity transform of the plane: rotation, uniform scale and translation, no reflection.
///
/// `x' = a·x - b·y + dx`, `y' = b·x + a·y + dy`, with a = scale·cos(angle) and b = scale·sin(angle).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    a: f64,
    b: f64,
    dx: f64,
    dy: f64,
}

impl Similarity {
    /// The transform with the least squared distance between `to` and the transformed `from` (Umeyama 1991, in the
    /// plane and without reflection, where it has a closed form).
    ///
    /// `None` when either set of points is, in effect, a single point, or holds a number that is not finite.
    pub fn estimate(from: &Landmarks, to: &Landmarks) -> Option<Self> {
        let (from_centre, to_centre) = (centre(from), centre(to));
        let (mut spread, mut cosine, mut sine) = (0.0, 0.0, 0.0);
        for (source, target) in from.iter().zip(to) {
            let [x, y] = relative(source, from_centre);
            let [u, v] = relative(target, to_centre);
            spread += x * x + y * y;
            cosine += x * u + y * v;
            sine += x * v - y * u;
        }
        let (a, b) = (cosine / spread, sine / spread);
        let dx = to_centre[0] - (a * from_centre[0] - b * from_centre[1]);
        let dy = to_centre[1] - (b * from_centre[0] + a * from_centre[1]);
        let is_sound = [a, b, dx, dy].iter().all(|number| number.is_finite());
        (is_sound && spread > 1e-9 && a * a + b * b > 1e-18).then_some(Self { a, b, dx, dy })
    }

    /// Factor by which distances grow.
    pub fn scale(&self) -> f64 {
        libm::hypot(self.a, self.b)
    }

    /// Angle by which directions turn, in radians within -π..=π; positive is clockwise in an image, whose y runs down.
    pub fn angle(&self) -> f64 {
        libm::atan2(self.b, self.a)
    }

    /// The transform that undoes this one.
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, dx: -(a * self.dx - b * self.dy), dy: -(b * self.dx + a * self.dy) }
    }

    /// Where `[x, y]` goes.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.a * x - self.b * y + self.dx, self.b * x + self.a * y + self.dy]
    }
}

fn centre(points: &Landmarks) -> [f64; 2] {
    [0, 1].map(|axis| points.iter().map(|point| f64::from(point[axis])).sum::<f64>() / points.len() as f64)
}

fn relative(point: &[f32; 2], centre: [f64; 2]) -> [f64; 2] {
    [f64::from(point[0]) - centre[0], f64::from(point[1]) - centre[1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: Landmarks, expected: Landmarks, tolerance: f32) {
        for (found, expected) in found.as_flattened().iter().zip(expected.as_flattened()) {
            assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
        }
    }

    fn moved(transform: &Similarity, points: &Landmarks) -> Landmarks {
        points.map(|point| transform.apply(point.map(f64::from)).map(|coordinate| coordinate as f32))
    }

    #[test]
    fn the_deepfakebench_template_has_the_documented_points_at_256() {
        let documented = [[96.87, 120.43], [158.83, 120.09], [128.04, 155.67], [102.59, 191.94], [153.90, 191.66]];
        assert_close(template(CropGeometry::Dfb, 256, 1.3), documented, 0.006);
    }

    #[test]
    fn without_margin_the_gend_template_is_in_parts_of_the_side() {
        let documented = [[34.0, 46.0], [66.0, 46.0], [50.0, 64.0], [37.0, 82.0], [63.0, 82.0]];
        assert_close(template(CropGeometry::Gend, 100, 1.0), documented, 1e-4);
    }

    #[test]
    fn a_known_similarity_is_found_again() {
        let from = template(CropGeometry::Gend, 224, 1.3);
        let (sine, cosine) = 0.4f64.sin_cos();
        let known = Similarity { a: 2.5 * cosine, b: 2.5 * sine, dx: -31.0, dy: 12.5 };
        let found = Similarity::estimate(&from, &moved(&known, &from)).unwrap();
        for (found, known) in [(found.a, known.a), (found.b, known.b), (found.dx, known.dx), (found.dy, known.dy)] {
            assert!((found - known).abs() < 1e-4, "{found} is not {known}");
        }
        assert!((found.scale() - 2.5).abs() < 1e-5);
        assert!((found.angle() - 0.4).abs() < 1e-5);
    }

    #[test]
    fn the_inverse_undoes_the_transform() {
        let transform = Similarity { a: -0.7, b: 1.9, dx: 40.0, dy: -3.0 };
        let [x, y] = transform.inverse().apply(transform.apply([17.0, -5.0]));
        assert!((x - 17.0).abs() < 1e-9 && (y + 5.0).abs() < 1e-9);
    }

    #[test]
    fn the_estimate_is_a_minimum_of_the_squared_distance() {
        let from = template(CropGeometry::Dfb, 256, 1.3);
        let mut to = template(CropGeometry::Gend, 200, 1.1);
        to[2] = [90.0, 131.0];
        let found = Similarity::estimate(&from, &to).unwrap();
        let error = |transform: &Similarity| -> f64 {
            let pairs = from.iter().zip(&to);
            pairs
                .map(|(source, target)| {
                    let [x, y] = transform.apply(source.map(f64::from));
                    (x - f64::from(target[0])).powi(2) + (y - f64::from(target[1])).powi(2)
                })
                .sum()
        };
        for step in [-1e-3, 1e-3] {
            let Similarity { a, b, dx, dy } = found;
            for near in [
                Similarity { a: a + step, ..found },
                Similarity { b: b + step, ..found },
                Similarity { dx: dx + step, ..found },
                Similarity { dy: dy + step, ..found },
            ] {
                assert!(error(&near) > error(&found));
            }
        }
    }

    #[test]
    fn a_single_point_or_nan_gives_no_transform() {
        let points = template(CropGeometry::Dfb, 256, 1.3);
        let mut broken = points;
        broken[3][1] = f32::NAN;
        assert_eq!(Similarity::estimate(&[[5.0, 5.0]; 5], &points), None);
        assert_eq!(Similarity::estimate(&points, &[[5.0, 5.0]; 5]), None);
        assert_eq!(Similarity::estimate(&broken, &points), None);
    }

    #[test]
    fn geometries_are_written_in_lower_case() {
        let spec: CropSpec = serde_json::from_str(r#"{"geometry":"dfb","size":256,"margin":1.3}"#).unwrap();
        assert_eq!(spec, CropSpec { geometry: CropGeometry::Dfb, size: 256, margin: 1.3 });
        assert_eq!(serde_json::to_string(&CropGeometry::Gend).unwrap(), "\"gend\"");
    }
}
