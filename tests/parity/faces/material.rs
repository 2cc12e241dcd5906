//! The pictures that the face finder is tried on, what YuNet saw in them, and how well two answers agree.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::Device;
use rayon::prelude::*;
use serde::Deserialize;
use unmask_core::face::finder::FaceFinder;
use unmask_core::face::quality::eye_distance;
use unmask_core::face::{Face, Landmarks, Rect};
use unmask_core::image::RgbImage;

use crate::shared_data::shared_data;

/// YuNet's faces below this score are no measure of ours.
const CERTAIN: f32 = 0.9;
/// Smallest side of YuNet's faces that count, in pixels.
const LEAST_SIDE: f32 = 40.0;
/// Boxes that overlap by this are the same face: the two detectors draw them differently.
const SAME_FACE: f32 = 0.3;

/// What YuNet saw in a picture.
#[derive(Deserialize)]
pub(crate) struct Picture {
    /// Relative to `../shared/data`.
    pub(crate) path: PathBuf,
    /// Index of a clip's frame.
    pub(crate) frame: Option<usize>,
    pub(crate) faces: Vec<Expected>,
}

/// A face that should be found.
#[derive(Clone, Deserialize)]
pub(crate) struct Expected {
    #[serde(rename = "box")]
    pub(crate) bounds: [f32; 4],
    pub(crate) landmarks: Landmarks,
    pub(crate) score: f32,
}

impl Expected {
    pub(crate) fn rect(&self) -> Rect {
        let [x, y, width, height] = self.bounds;
        Rect { x, y, width, height }
    }

    pub(crate) fn is_certain(&self) -> bool {
        self.score >= CERTAIN && self.bounds[2].min(self.bounds[3]) >= LEAST_SIDE
    }

    /// Distance of the box's centre from that of a frame.
    fn distance_from_centre(&self, frame: &RgbImage) -> f32 {
        let [x, y, width, height] = self.bounds;
        let (across, down) = (frame.width() as f32 / 2.0, frame.height() as f32 / 2.0);
        (x + width / 2.0 - across).hypot(y + height / 2.0 - down)
    }
}

/// A picture and the faces that should be found in it.
pub(crate) struct Seen {
    pub(crate) frame: RgbImage,
    pub(crate) expected: Vec<Expected>,
    /// All that YuNet saw, whether certain or not.
    pub(crate) all: Vec<Expected>,
}

/// How well ours and theirs agree.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Agreement {
    pub(crate) expected: usize,
    pub(crate) found: usize,
    /// Sum of the mean landmark distances in parts of the eye distance.
    distance: f32,
}

impl Agreement {
    pub(crate) fn of(expected: &Expected, found: &[Face]) -> Self {
        let bounds = expected.rect();
        let overlap = |face: &&Face| face.bounds.overlap(&bounds);
        let best = found.iter().max_by(|one, other| overlap(one).total_cmp(&overlap(other)));
        match best.filter(|face| overlap(face) >= SAME_FACE) {
            None => Self { expected: 1, ..Self::default() },
            Some(face) => Self { expected: 1, found: 1, distance: distance(&face.landmarks, &expected.landmarks) },
        }
    }

    /// The agreement over pictures, each looked at as `find` does.
    pub(crate) fn over(seen: &[Seen], find: impl Fn(&RgbImage) -> Vec<Face> + Sync) -> Self {
        let agreements = seen.par_iter().map(|picture| {
            let found = find(&picture.frame);
            picture.expected.iter().map(|face| Self::of(face, &found)).fold(Self::default(), Self::with)
        });
        agreements.reduce(Self::default, Self::with)
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            expected: self.expected + other.expected,
            found: self.found + other.found,
            distance: self.distance + other.distance,
        }
    }

    pub(crate) fn recall(&self) -> f32 {
        self.found as f32 / self.expected as f32
    }

    pub(crate) fn mean_distance(&self) -> f32 {
        self.distance / self.found as f32
    }
}

/// The mean distance of points in parts of the eye distance.
pub(crate) fn distance(found: &Landmarks, expected: &Landmarks) -> f32 {
    let pairs = found.iter().zip(expected);
    let total: f32 = pairs.map(|(one, other)| (one[0] - other[0]).hypot(one[1] - other[1])).sum();
    total / 5.0 / eye_distance(expected)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder with photographs and clips; says so and gives `None` where there is none.
pub(crate) fn data() -> Option<PathBuf> {
    shared_data("")
}

pub(crate) fn has_ffmpeg() -> bool {
    let runs = Command::new("ffmpeg").arg("-version").output().is_ok_and(|output| output.status.success());
    if !runs {
        println!("skipped: ffmpeg is not installed");
    }
    runs
}

pub(crate) fn finder() -> Result<FaceFinder, Box<dyn Error>> {
    let weights = |name: &str| std::fs::read(repository().join("models").join(name));
    let (centerface, refiner) = (weights("centerface.safetensors")?, weights("landmark_refiner.safetensors")?);
    Ok(FaceFinder::from_safetensors(&centerface, &refiner, &Device::flex())?)
}

/// What YuNet saw, with its points counted as ours are. YuNet counts from the corner of the first pixel (the points of a
/// mirrored picture agree under `width - x` to a tenth of a pixel), we from its centre.
pub(crate) fn pictures() -> Result<Vec<Picture>, Box<dyn Error>> {
    let mut pictures: Vec<Picture> =
        serde_json::from_slice(&std::fs::read(repository().join("tests/goldens/yunet.json"))?)?;
    for face in pictures.iter_mut().flat_map(|picture| &mut picture.faces) {
        face.landmarks = face.landmarks.map(|point| point.map(|coordinate| coordinate - 0.5));
    }
    Ok(pictures)
}

/// Every `step`th photograph, of whose faces the one nearest to the middle is expected.
pub(crate) fn photographs(data: &Path, pictures: &[Picture], step: usize) -> Result<Vec<Seen>, String> {
    let photographs: Vec<&Picture> = pictures.iter().filter(|picture| picture.frame.is_none()).step_by(step).collect();
    let seen = photographs.into_par_iter().map(|picture| {
        let frame = photograph(&data.join(&picture.path))?;
        let certain = picture.faces.iter().filter(|face| face.is_certain());
        let main = certain
            .min_by(|one, other| one.distance_from_centre(&frame).total_cmp(&other.distance_from_centre(&frame)));
        Ok(Seen { expected: main.cloned().into_iter().collect(), all: picture.faces.clone(), frame })
    });
    seen.collect()
}

fn photograph(path: &Path) -> Result<RgbImage, String> {
    let image = image::open(path).map_err(|error| format!("{}: {error}", path.display()))?.to_rgb8();
    let (width, height) = (image.width() as usize, image.height() as usize);
    RgbImage::new(width, height, image.into_raw()).ok_or_else(|| format!("{}: odd size", path.display()))
}

/// The chosen frames of every `step`th clip in `folder`, of whose faces all certain ones are expected.
pub(crate) fn clips(data: &Path, folder: &str, pictures: &[Picture], step: usize) -> Result<Vec<Seen>, String> {
    let clips: Vec<&[Picture]> = pictures
        .chunk_by(|one, other| one.path == other.path)
        .filter(|clip| clip[0].frame.is_some() && clip[0].path.starts_with(folder))
        .step_by(step)
        .collect();
    let seen = clips.into_par_iter().map(|clip| {
        let wanted: Vec<usize> = clip.iter().filter_map(|picture| picture.frame).collect();
        let frames = frames(&data.join(&clip[0].path), &wanted)?;
        let pairs = clip.iter().zip(frames);
        Ok(pairs.map(|(picture, frame)| seen_in(picture, frame)).collect::<Vec<Seen>>())
    });
    Ok(seen.collect::<Result<Vec<_>, String>>()?.into_iter().flatten().collect())
}

fn seen_in(picture: &Picture, frame: RgbImage) -> Seen {
    let expected = picture.faces.iter().filter(|face| face.is_certain()).cloned().collect();
    Seen { frame, expected, all: picture.faces.clone() }
}

/// The frames of a clip whose indices are in `wanted`, in their order.
pub(crate) fn frames(path: &Path, wanted: &[usize]) -> Result<Vec<RgbImage>, String> {
    let run = |command: &mut Command| command.output().map_err(|error| format!("{}: {error}", path.display()));
    let probe = run(Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height", "-of", "csv=p=0"])
        .arg(path))?;
    let sizes: Vec<usize> =
        String::from_utf8_lossy(&probe.stdout).trim().split(',').filter_map(|number| number.parse().ok()).collect();
    let [width, height] = sizes[..] else { return Err(format!("{}: no size", path.display())) };
    let choice: Vec<String> = wanted.iter().map(|index| format!("eq(n,{index})")).collect();
    let output = run(Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-vf", &format!("select='{}'", choice.join("+")), "-frames:v", &wanted.len().to_string()])
        .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]))?;
    let pictures = output.stdout.chunks_exact(width * height * 3);
    Ok(pictures.filter_map(|pixels| RgbImage::new(width, height, pixels.to_vec())).collect())
}

/// The picture with every level replaced.
pub(crate) fn relit(image: &RgbImage, level: impl Fn(u8) -> u8) -> RgbImage {
    let pixels = image.pixels().iter().map(|&value| level(value)).collect();
    RgbImage::new(image.width(), image.height(), pixels).expect("as many pixels")
}

/// The picture turned clockwise by a quarter.
pub(crate) fn quarter_turn(image: &RgbImage) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let (source, _) = image.pixels().as_chunks::<3>();
    let pixels = (0..width).flat_map(|x| (0..height).rev().flat_map(move |y| source[y * width + x])).collect();
    RgbImage::new(height, width, pixels).expect("as many pixels")
}

/// The picture with grey rectangles over all faces, half as large again on each side.
pub(crate) fn painted_over(picture: &Seen) -> RgbImage {
    let (width, height) = (picture.frame.width(), picture.frame.height());
    let mut pixels = picture.frame.pixels().to_vec();
    for face in &picture.all {
        let Rect { x, y, width: across, height: down } = face.rect();
        let clamp = |place: f32, limit: usize| place.clamp(0.0, limit as f32) as usize;
        let (left, right) = (clamp(x - across / 2.0, width), clamp(x + 1.5 * across, width));
        for row in clamp(y - down / 2.0, height)..clamp(y + 1.5 * down, height) {
            pixels[(row * width + left) * 3..(row * width + right) * 3].fill(128);
        }
    }
    RgbImage::new(width, height, pixels).expect("as many pixels")
}
