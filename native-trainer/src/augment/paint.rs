//! Painting of what stands before a face: soft shapes, filled with a shaded and textured colour.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use unmask_core::image::RgbImage;

use super::level;

/// A shape, in pixels of an image whose whole numbers are the centres of pixels.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// All that is within `radius` of a line from one point to another.
    Capsule { from: [f32; 2], to: [f32; 2], radius: f32 },
    /// An ellipse whose first axis is turned by so many radians.
    Ellipse { centre: [f32; 2], axes: [f32; 2], turn: f32 },
    /// A convex polygon, its corners clockwise as one sees them.
    Polygon(Vec<[f32; 2]>),
}

impl Shape {
    /// An upright rectangle.
    pub(super) fn rectangle([left, top]: [f32; 2], [right, bottom]: [f32; 2]) -> Self {
        Self::Polygon(vec![[left, top], [right, top], [right, bottom], [left, bottom]])
    }

    /// About how far a point is outside of the shape in pixels; less than 0 within.
    fn distance(&self, [x, y]: [f32; 2]) -> f32 {
        match self {
            Self::Capsule { from, to, radius } => {
                let (along, apart) = ([to[0] - from[0], to[1] - from[1]], [x - from[0], y - from[1]]);
                let length = along[0] * along[0] + along[1] * along[1];
                let share = (apart[0] * along[0] + apart[1] * along[1]) / length.max(f32::MIN_POSITIVE);
                let share = share.clamp(0.0, 1.0);
                (apart[0] - share * along[0]).hypot(apart[1] - share * along[1]) - radius
            }
            Self::Ellipse { centre, axes, turn } => {
                let (sine, cosine) = turn.sin_cos();
                let (u, v) = (x - centre[0], y - centre[1]);
                let part = ((cosine * u + sine * v) / axes[0]).hypot((cosine * v - sine * u) / axes[1]);
                (part - 1.0) * axes[0].min(axes[1])
            }
            Self::Polygon(corners) => {
                let edges = corners.iter().zip(corners.iter().cycle().skip(1));
                let beyond = |([ax, ay], [bx, by]): (&[f32; 2], &[f32; 2])| {
                    ((by - ay) * (x - ax) - (bx - ax) * (y - ay)) / (bx - ax).hypot(by - ay).max(f32::MIN_POSITIVE)
                };
                edges.map(beyond).fold(f32::NEG_INFINITY, f32::max)
            }
        }
    }

    /// The corners, left upper and right lower, of what the shape is within.
    fn bounds(&self) -> [[f32; 2]; 2] {
        let of = |points: &[[f32; 2]], margin: f32| {
            let most = |axis: usize, start: f32, choose: fn(f32, f32) -> f32| {
                points.iter().map(|point| point[axis]).fold(start, choose)
            };
            let least = [0, 1].map(|axis| most(axis, f32::INFINITY, f32::min) - margin);
            [least, [0, 1].map(|axis| most(axis, f32::NEG_INFINITY, f32::max) + margin)]
        };
        match self {
            Self::Capsule { from, to, radius } => of(&[*from, *to], *radius),
            Self::Ellipse { centre, axes, .. } => of(&[*centre], axes[0].max(axes[1])),
            Self::Polygon(corners) => of(corners, 0.0),
        }
    }
}

/// How much of each pixel is covered, rows from top to bottom.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cover {
    width: usize,
    shares: Vec<f32>,
}

impl Cover {
    /// What the shapes together cover of an image of `[width, height]`; edges go from all to nothing within `softness` pixels.
    pub(super) fn of([width, height]: [usize; 2], shapes: &[Shape], softness: f32) -> Self {
        let mut shares = vec![0.0f32; width * height];
        for shape in shapes {
            let [first, last] = shape.bounds();
            let within = |value: f32, length: usize| value.clamp(0.0, length as f32) as usize;
            let columns = within(first[0] - softness, width)..within(last[0] + softness + 1.0, width);
            for row in within(first[1] - softness, height)..within(last[1] + softness + 1.0, height) {
                for column in columns.clone() {
                    let outside = shape.distance([column as f32, row as f32]);
                    let share = (0.5 - outside / softness.max(0.5)).clamp(0.0, 1.0);
                    let before = &mut shares[row * width + column];
                    *before = before.max(share);
                }
            }
        }
        Self { width, shares }
    }

    /// The shares, `[height, width]`, 0..=1.
    pub(super) fn shares(&self) -> &[f32] {
        &self.shares
    }

    /// The covered pixels of an image filled, as far as they are covered and `opacity` says.
    pub(super) fn fill(&self, image: &RgbImage, fill: &Fill, opacity: f32) -> RgbImage {
        let mut pixels = image.pixels().to_vec();
        for (pixel, (colour, share)) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(&self.shares).enumerate() {
            let share = share * opacity;
            if share > 0.0 {
                let painted = fill.at([pixel % self.width, pixel / self.width]);
                colour.iter_mut().zip(painted).for_each(|(value, new)| {
                    let before = f32::from(*value);
                    *value = level(before + share * (new - before));
                });
            }
        }
        super::rebuilt(image, pixels)
    }
}

/// Points of a texture across and down.
const TEXTURE: usize = 16;

/// A colour with light from one side and a texture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fill {
    colour: [f32; 3],
    /// How many levels brighter each pixel to the right and down is.
    slope: [f32; 2],
    /// Where the slope is 0.
    origin: [f32; 2],
    /// Levels at the points of a grid, which is repeated.
    texture: Vec<f32>,
    /// Pixels from point to point.
    spacing: f32,
}

impl Fill {
    /// One colour everywhere.
    pub(super) fn plain(colour: [f32; 3]) -> Self {
        Self { colour, slope: [0.0; 2], origin: [0.0; 2], texture: vec![0.0; TEXTURE * TEXTURE], spacing: 1.0 }
    }

    /// A colour with light and texture such as skin, cloth or a wall have, for things in an image of `size`.
    pub(super) fn drawn(rng: &mut ChaCha8Rng, colour: [f32; 3], size: [usize; 2]) -> Self {
        let mut within = |limit: f32| limit * (2.0 * rng.random::<f32>() - 1.0);
        let slope = size.map(|length| within(40.0) / length.max(1) as f32);
        let strength = within(14.0);
        let texture = (0..TEXTURE * TEXTURE).map(|_| within(strength.abs())).collect();
        let spacing = 4.0 + within(3.0);
        Self { colour, slope, origin: size.map(|length| length as f32 / 2.0), texture, spacing }
    }

    fn at(&self, [column, row]: [usize; 2]) -> [f32; 3] {
        let (x, y) = (column as f32, row as f32);
        let light = self.slope[0] * (x - self.origin[0]) + self.slope[1] * (y - self.origin[1]);
        let (u, v) = (x / self.spacing, y / self.spacing);
        let (left, upper) = (u as usize, v as usize);
        let (across, down) = (u - left as f32, v - upper as f32);
        let point = |right: usize, lower: usize| self.texture[lower % TEXTURE * TEXTURE + right % TEXTURE];
        let above = point(left, upper) + across * (point(left + 1, upper) - point(left, upper));
        let below = point(left, upper + 1) + across * (point(left + 1, upper + 1) - point(left, upper + 1));
        self.colour.map(|value| value + light + above + down * (below - above))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn shapes_cover_what_is_within_them_whatever_their_kind() {
        let square = Shape::rectangle([9.5, 9.5], [29.5, 19.5]);
        let line = Shape::Capsule { from: [10.0, 10.0], to: [30.0, 10.0], radius: 4.0 };
        let ellipse = Shape::Ellipse { centre: [20.0, 20.0], axes: [12.0, 6.0], turn: 0.7 };
        let area = |shape: &Shape| {
            let cover = Cover::of([48, 40], std::slice::from_ref(shape), 1.0);
            cover.shares().iter().sum::<f32>()
        };
        let pi = std::f32::consts::PI;
        for (shape, expected) in [(square, 200.0), (line, 160.0 + 16.0 * pi), (ellipse, 72.0 * pi)] {
            assert!((area(&shape) / expected - 1.0).abs() < 0.04, "{shape:?}: {} is not {expected}", area(&shape));
        }
    }

    #[test]
    fn shapes_beyond_the_edge_or_without_an_extent_do_not_panic() {
        let nowhere = [-50.0, 500.0];
        let shapes = [
            Shape::Capsule { from: nowhere, to: nowhere, radius: 3.0 },
            Shape::Ellipse { centre: [500.0, 3.0], axes: [9.0, 0.0], turn: 1.0 },
            Shape::Polygon(Vec::new()),
            Shape::Polygon(vec![[3.0, 3.0]; 3]),
        ];
        for size in [[0, 0], [1, 1], [9, 7]] {
            let cover = Cover::of(size, &shapes[..2], 2.0);
            assert!(cover.shares().iter().all(|share| *share == 0.0));
            assert_eq!(Cover::of(size, &shapes, 2.0).shares().len(), size[0] * size[1]);
        }
    }

    #[test]
    fn a_fill_of_half_opacity_is_halfway_between_image_and_colour() {
        let image = RgbImage::new(8, 8, vec![100; 192]).unwrap();
        let cover = Cover::of([8, 8], &[Shape::rectangle([-9.0, -9.0], [3.5, 20.0])], 0.5);
        let filled = cover.fill(&image, &Fill::plain([200.0, 0.0, 100.0]), 0.5);
        assert_eq!(filled.pixels()[..3], [150, 50, 100]);
        assert_eq!(filled.pixels()[15..18], [100; 3]);
    }

    #[test]
    fn textures_are_smooth_and_differ_by_their_draw() {
        let fill = |seed| Fill::drawn(&mut ChaCha8Rng::seed_from_u64(seed), [120.0; 3], [64, 64]);
        let row = |fill: &Fill| (0..64).map(|x| fill.at([x, 9])[0]).collect::<Vec<_>>();
        let values = row(&fill(1));
        assert!(values.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 30.0));
        assert_ne!(values, row(&fill(2)));
        assert!(values.iter().any(|value| *value != values[0]));
    }
}
