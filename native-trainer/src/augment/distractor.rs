//! Things before or over a face that say nothing of it: hands and objects, lines of text, bars, a station's logo. A detector
//! that has seen them on real faces and fakes alike does not take their edges for those of a blend.

use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmask_core::image::RgbImage;

use super::draw::{Limit, Probability, Range, weighted};
use super::paint::{Cover, Fill, Shape};

/// Things painted over the face.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Distractor {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// How many things (default 1 to 2).
    pub count: Range<1, 4>,
    /// How large a hand or an object is, in hundredths of the image's side (default 10 to 40).
    pub percent: Range<1, 100>,
    /// How often each kind comes, in any unit.
    pub kinds: KindWeights,
}

impl Default for Distractor {
    fn default() -> Self {
        Self {
            probability: Probability(0.0),
            count: Range(1.0, 2.0),
            percent: Range(10.0, 40.0),
            kinds: KindWeights::default(),
        }
    }
}

/// How often each kind of thing comes, in any unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KindWeights {
    /// Fingers that come in from an edge (default 2).
    pub hand: Limit<1000>,
    /// An ellipse or a polygon of any colour, or a stick (default 3).
    pub object: Limit<1000>,
    /// Lines of strokes such as subtitles (default 2).
    pub text: Limit<1000>,
    /// A black or coloured bar along an edge (default 1).
    pub bar: Limit<1000>,
    /// A small sign in a corner (default 1).
    pub logo: Limit<1000>,
}

impl Default for KindWeights {
    fn default() -> Self {
        Self { hand: Limit(2.0), object: Limit(3.0), text: Limit(2.0), bar: Limit(1.0), logo: Limit(1.0) }
    }
}

/// The kinds of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Hand,
    Object,
    Text,
    Bar,
    Logo,
}

impl KindWeights {
    fn draw(&self, rng: &mut ChaCha8Rng) -> Kind {
        let weights = [
            (Kind::Hand, self.hand),
            (Kind::Object, self.object),
            (Kind::Text, self.text),
            (Kind::Bar, self.bar),
            (Kind::Logo, self.logo),
        ];
        weighted(&weights, rng).unwrap_or(Kind::Object)
    }
}

/// A thing that was decided on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Thing {
    kind: Kind,
    /// Size in parts of the image's side.
    size: f32,
    /// What its shape, place and colours are drawn from.
    seed: u64,
}

/// The most things there can be.
const MOST_THINGS: usize = 4;

impl Distractor {
    /// The things, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<Vec<Thing>> {
        let is_done = self.probability.draw(rng);
        let count = self.count.draw_whole(rng);
        let thing = |rng: &mut ChaCha8Rng| Thing {
            kind: self.kinds.draw(rng),
            size: self.percent.draw(rng) as f32 / 100.0,
            seed: rng.random(),
        };
        let mut things: Vec<Thing> = (0..MOST_THINGS).map(|_| thing(rng)).collect();
        things.truncate(count);
        is_done.then_some(things)
    }
}

/// The image with the things painted over it, one after the other.
pub(super) fn distract(image: &RgbImage, things: &[Thing]) -> RgbImage {
    if image.pixels().is_empty() {
        return image.clone();
    }
    things.iter().fold(image.clone(), |image, thing| {
        let mut painter = Painter {
            rng: ChaCha8Rng::seed_from_u64(thing.seed),
            size: [image.width(), image.height()],
            side: image.width().min(image.height()) as f32,
            image,
        };
        match thing.kind {
            Kind::Hand => painter.hand(thing.size),
            Kind::Object => painter.object(thing.size),
            Kind::Text => painter.text(),
            Kind::Bar => painter.bar(thing.size),
            Kind::Logo => painter.logo(),
        }
        painter.image
    })
}

/// Paints one thing.
struct Painter {
    rng: ChaCha8Rng,
    image: RgbImage,
    size: [usize; 2],
    /// The shorter side in pixels.
    side: f32,
}

impl Painter {
    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.rng.random::<f32>()
    }

    fn is(&mut self, chance: f32) -> bool {
        self.rng.random::<f32>() < chance
    }

    /// Any place of the image.
    fn place(&mut self) -> [f32; 2] {
        self.size.map(|length| length as f32 * self.rng.random::<f32>())
    }

    /// A colour of skin: from dark to light along a line from deep brown to pale, with a little more or less red.
    fn skin(&mut self) -> [f32; 3] {
        let (light, red) = (self.between(0.0, 1.0), self.between(-10.0, 10.0));
        let (dark, pale) = ([70.0, 42.0, 30.0], [236.0, 196.0, 172.0]);
        let mixed = [0, 1, 2].map(|channel: usize| dark[channel] + light * (pale[channel] - dark[channel]));
        [mixed[0] + red, mixed[1], mixed[2] - red / 2.0]
    }

    fn colour(&mut self) -> [f32; 3] {
        [(); 3].map(|()| self.between(5.0, 250.0))
    }

    fn paint(&mut self, shapes: &[Shape], softness: f32, fill: &Fill, opacity: f32) {
        self.image = Cover::of(self.size, shapes, softness).fill(&self.image, fill, opacity);
    }

    /// Softness of the edge of a thing as far from the focus as the face or farther.
    fn softness(&mut self) -> f32 {
        self.between(0.5, 0.03 * self.side + 1.0)
    }

    /// One to four fingers beside each other from an edge towards the middle.
    fn hand(&mut self, size: f32) {
        let colour = self.skin();
        let fill = Fill::drawn(&mut self.rng, colour, self.size);
        let angle = self.between(0.0, std::f32::consts::TAU);
        let radius = self.side * size / 7.0;
        let towards = [angle.cos(), angle.sin()];
        let reach = self.between(0.1, 0.45) * self.side;
        let middle = self.size.map(|length| length as f32 / 2.0);
        let count = 1 + (self.between(0.0, 4.0) as usize).min(3);
        let mut fingers = Vec::new();
        for finger in 0..count {
            let beside = (finger as f32 - (count as f32 - 1.0) / 2.0) * radius * 2.05;
            let tip = reach + self.between(-1.0, 1.0) * radius;
            let at = |along: f32| {
                [
                    middle[0] + towards[0] * along - towards[1] * beside,
                    middle[1] + towards[1] * along + towards[0] * beside,
                ]
            };
            // Beyond the farthest corner, so that the hand comes from outside.
            fingers.push(Shape::Capsule { from: at(tip), to: at(1.5 * self.side), radius });
        }
        let softness = self.softness();
        // The gaps between fingers are darker.
        let shadow = Fill::plain(colour.map(|value| 0.5 * value));
        let wider: Vec<Shape> = fingers.iter().map(|finger| wider(finger, 0.12 * radius)).collect();
        self.paint(&wider, softness, &shadow, 0.6);
        self.paint(&fingers, softness, &fill, 1.0);
    }

    /// An ellipse, a polygon or a stick.
    fn object(&mut self, size: f32) {
        let colour = if self.is(0.3) { self.skin() } else { self.colour() };
        let fill = Fill::drawn(&mut self.rng, colour, self.size);
        let (centre, extent) = (self.place(), self.side * size / 2.0);
        let turn = self.between(0.0, std::f32::consts::TAU);
        let shape = match self.between(0.0, 3.0) as usize {
            0 => Shape::Ellipse { centre, axes: [extent, extent * self.between(0.4, 1.0)], turn },
            1 => {
                let corners = 3 + self.between(0.0, 5.0) as usize;
                let step = std::f32::consts::TAU / corners as f32;
                let flat = self.between(0.5, 1.0);
                // Corners on an ellipse make a convex polygon.
                let corner = |index: usize, apart: f32| {
                    let angle = turn + step * (index as f32 + apart);
                    [centre[0] + extent * angle.cos(), centre[1] + flat * extent * angle.sin()]
                };
                Shape::Polygon((0..corners).map(|index| corner(index, self.between(-0.3, 0.3))).collect())
            }
            _ => {
                let half = self.side * self.between(0.3, 1.0);
                let end = |sign: f32| [centre[0] + sign * half * turn.cos(), centre[1] + sign * half * turn.sin()];
                Shape::Capsule { from: end(-1.0), to: end(1.0), radius: extent / 4.0 }
            }
        };
        let softness = self.softness();
        let opacity = if self.is(0.15) { self.between(0.4, 0.9) } else { 1.0 };
        self.paint(&[shape], softness, &fill, opacity);
    }

    /// One to three lines of letters across the image, most often at the bottom, on a box or with a dark edge.
    fn text(&mut self) {
        let height = self.side * self.between(0.05, 0.12);
        let lines = 1 + self.between(0.0, 3.0) as usize;
        let [width, bottom] = self.size.map(|length| length as f32);
        let block = lines as f32 * height * 1.5;
        let top = if self.is(0.6) { bottom - block } else { self.between(0.0, (bottom - block).max(1.0)) };
        let white = if self.is(0.7) { [245.0; 3] } else { self.colour() };
        let (mut strokes, thickness) = (Vec::new(), height * self.between(0.06, 0.12));
        for line in 0..lines {
            let baseline = top + height * (1.25 + 1.5 * line as f32);
            let length = width * self.between(0.4, 1.1);
            strokes.extend(self.letters([(width - length) / 2.0, baseline], height, length, thickness));
        }
        if self.is(0.4) {
            let opacity = self.between(0.4, 1.0);
            let box_ = Shape::rectangle([-1.0, top], [width, top + block]);
            self.paint(&[box_], 0.5, &Fill::plain([12.0; 3]), opacity);
        } else {
            let edge: Vec<Shape> = strokes.iter().map(|stroke| wider(stroke, 0.6 * thickness + 0.4)).collect();
            self.paint(&edge, 1.0, &Fill::plain([10.0; 3]), 0.9);
        }
        self.paint(&strokes, 1.0, &Fill::plain(white), 1.0);
    }

    /// Strokes that look like letters from afar: lines between the points of a grid of three by three.
    fn letters(&mut self, [left, baseline]: [f32; 2], height: f32, length: f32, radius: f32) -> Vec<Shape> {
        let mut strokes = Vec::new();
        let mut x = left;
        while x < left + length {
            let width = height * self.between(0.35, 0.7);
            for _ in 0..if self.is(0.15) { 0 } else { 2 + self.between(0.0, 2.5) as usize } {
                let mut point = || {
                    [
                        x + width * self.rng.random_range(0..3) as f32 / 2.0,
                        baseline - height * self.rng.random_range(0..3) as f32 / 2.0,
                    ]
                };
                strokes.push(Shape::Capsule { from: point(), to: point(), radius });
            }
            x += width + 0.25 * height;
        }
        strokes
    }

    /// A bar along one edge, or along two that face each other.
    fn bar(&mut self, size: f32) {
        let [width, height] = self.size.map(|length| length as f32);
        let depth = (self.side * size / 3.0).max(1.0).round() - 0.5;
        let colour = if self.is(0.7) { [3.0; 3] } else { self.colour() };
        let bars = [
            Shape::rectangle([-1.0, -1.0], [width, depth]),
            Shape::rectangle([-1.0, height - 1.0 - depth], [width, height]),
            Shape::rectangle([-1.0, -1.0], [depth, height]),
            Shape::rectangle([width - 1.0 - depth, -1.0], [width, height]),
        ];
        let first = if self.is(0.5) { 0 } else { 2 };
        let bars = match self.between(0.0, 3.0) as usize {
            0 => &bars[first..first + 2],
            1 => &bars[first..first + 1],
            _ => &bars[first + 1..first + 2],
        };
        self.paint(bars, 0.5, &Fill::plain(colour), 1.0);
    }

    /// A disc or a rectangle with strokes on it in a corner.
    fn logo(&mut self) {
        let half = self.side * self.between(0.04, 0.1);
        let from_edge = half + self.side * self.between(0.01, 0.06);
        let [right, lower] = [self.is(0.5), self.is(0.5)];
        let at = |is_far: bool, length: usize| if is_far { length as f32 - from_edge } else { from_edge };
        let centre = [at(right, self.size[0]), at(lower, self.size[1])];
        let shape = if self.is(0.5) {
            Shape::Ellipse { centre, axes: [half; 2], turn: 0.0 }
        } else {
            Shape::rectangle([centre[0] - half, centre[1] - 0.6 * half], [centre[0] + half, centre[1] + 0.6 * half])
        };
        let (colour, opacity) = (self.colour(), self.between(0.4, 1.0));
        self.paint(&[shape], 1.0, &Fill::plain(colour), opacity);
        let strokes = self.letters([centre[0] - 0.6 * half, centre[1] + 0.35 * half], 0.7 * half, half, 0.08 * half);
        self.paint(&strokes, 1.0, &Fill::plain([245.0; 3]), opacity);
    }
}

/// A stroke with so many pixels more around it; other shapes as they are.
fn wider(shape: &Shape, by: f32) -> Shape {
    match shape {
        Shape::Capsule { from, to, radius } => Shape::Capsule { from: *from, to: *to, radius: radius + by },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 5] = [Kind::Hand, Kind::Object, Kind::Text, Kind::Bar, Kind::Logo];

    fn picture(value: u8) -> RgbImage {
        RgbImage::new(96, 96, vec![value; 96 * 96 * 3]).unwrap()
    }

    /// The part of the pixels that a thing changes.
    fn covered(thing: Thing) -> f64 {
        let painted = distract(&picture(128), &[thing]);
        let changed = painted.pixels().as_chunks::<3>().0.iter().filter(|colour| **colour != [128; 3]);
        changed.count() as f64 / (96.0 * 96.0)
    }

    #[test]
    fn every_kind_shows_and_leaves_most_of_the_face_to_be_seen() {
        for kind in KINDS {
            let parts: Vec<f64> = (0..60).map(|seed| covered(Thing { kind, size: 0.3, seed })).collect();
            let mean = parts.iter().sum::<f64>() / 60.0;
            let seen = parts.iter().filter(|part| **part > 0.001).count();
            assert!(seen >= 55 && mean < 0.35, "{kind:?}: {seen} of 60 show, {mean} covered on average");
        }
    }

    #[test]
    fn larger_hands_and_objects_hide_more() {
        for kind in [Kind::Hand, Kind::Object, Kind::Bar] {
            let mean = |size| (0..60).map(|seed| covered(Thing { kind, size, seed })).sum::<f64>() / 60.0;
            assert!(mean(0.1) < mean(0.3) && mean(0.3) < mean(0.6), "{kind:?}");
        }
    }

    #[test]
    fn what_is_painted_is_the_same_on_both_of_a_pair() {
        for kind in KINDS {
            for seed in 0..20 {
                let thing = Thing { kind, size: 0.3, seed };
                let [dark, bright] = [20, 230].map(|value| distract(&picture(value), &[thing]));
                let apart: Vec<u8> = dark.pixels().iter().zip(bright.pixels()).map(|(a, b)| a.abs_diff(*b)).collect();
                // Covered pixels are equal, others as far apart as they were, and edges between the two.
                assert!(apart.iter().all(|difference| *difference <= 210));
                assert!(kind != Kind::Hand || apart.contains(&0), "a hand hides what is behind it");
                assert_eq!(distract(&picture(20), &[thing]), dark);
            }
        }
    }

    #[test]
    fn kinds_come_by_their_weights_and_images_of_any_size_are_painted() {
        let only_bars =
            KindWeights { hand: Limit(0.0), object: Limit(0.0), text: Limit(0.0), bar: Limit(1.0), logo: Limit(0.0) };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert!((0..50).all(|_| only_bars.draw(&mut rng) == Kind::Bar));
        for size in [[0, 0], [1, 1], [3, 50]] {
            let image = RgbImage::new(size[0], size[1], vec![9; size[0] * size[1] * 3]).unwrap();
            for kind in KINDS {
                assert_eq!(distract(&image, &[Thing { kind, size: 0.4, seed: 3 }]).width(), size[0]);
            }
        }
    }
}
