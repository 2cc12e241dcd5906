//! `unmask preview`: what a training run sees, as one picture.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use image::{ImageFormat, Rgb, RgbImage as Canvas};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use unmask_core::face::alignment::{CropGeometry, CropSpec, Similarity, template};
use unmask_core::face::crop::crop;
use unmask_core::face::finder::{FaceFinder, FindOptions};
use unmask_core::face::{Face as FoundFace, Landmarks};
use unmask_core::image::{Interpolation, RgbImage};

use super::preprocess::margin;
use unmask::augment::sbi::{OtherFace, SelfBlending, pose_distance};
use unmask::augment::whole::blended_in_place;
use unmask::augment::{Augmentation, Filming, Mask, Shot};
use unmask::media::{self, Damage, Input, OpenOptions, Programs};
use unmask::output::say;
use unmask::train::read_unchecked_recipe;
use unmask::train::recipe::Recipe;
use unmask::{files, scoring};

/// Show faces as a training run sees them
#[derive(Args, Debug)]
#[command(
    after_help = "Without --sbi each row is a face and three augmentations of it. With --sbi it is a face, the real \
image of a self-blended pair, the mask of the blend, and the fake. With --sbi --whole the picture written is not \
a sheet: it is the first picture with a face, in its own size, its largest face blended with a changed copy of itself \
and all else untouched.

Examples:
  unmask preview --data photographs/ --sbi --output pairs.png
  unmask preview --data real/clip.mp4 --config recipe.toml --output sheet.png --rows 8
  unmask preview --data portrait.png --sbi --whole --output fake.png"
)]
pub(crate) struct PreviewArgs {
    /// Images, videos or folders of them
    #[arg(long, required = true, num_args = 1.., value_name = "ROOT|FILE")]
    data: Vec<PathBuf>,
    /// A recipe; its tables `augmentation` and `self_blending` count [default: the defaults of both]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show self-blended pairs
    #[arg(long)]
    sbi: bool,
    /// Write one picture, unaligned and unaugmented, with its largest face self-blended
    #[arg(long, requires = "sbi", conflicts_with_all = ["aligned", "rows", "size", "margin"])]
    whole: bool,
    /// Images are aligned faces already
    #[arg(long)]
    aligned: bool,
    /// How many times wider than the geometry's own view crops are, as `unmask preprocess --margin` was told
    #[arg(long, default_value_t = MARGIN, value_parser = margin)]
    margin: f32,
    /// The picture to write; its extension names the format: png, jpg or webp
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// What chance is drawn from; the same seed gives the same picture
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Faces shown
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=200))]
    rows: u16,
    /// Side of a face in pixels
    #[arg(long, default_value_t = 224, value_parser = clap::value_parser!(u16).range(32..=1024))]
    size: u16,
}

/// What is done to faces.
struct Changes {
    augmentation: Augmentation,
    self_blending: SelfBlending,
}

/// Margin of the crops where none is given, as DeepfakeBench cuts them.
const MARGIN: f32 = 1.3;
/// Pixels between the images of the sheet.
const GAP: usize = 4;
/// Images in a row.
const COLUMNS: usize = 4;

/// An aligned face and its landmarks.
type Face = (RgbImage, Landmarks);

/// Runs the command.
pub(crate) fn run(args: &PreviewArgs) -> Result<()> {
    let format = format(&args.output)?;
    let changes = changes(args)?;
    let shown = args.output.display();
    if args.whole {
        write(args, format, &canvas(&whole_fake(args, &changes)?))?;
        say!("{shown}: one picture, its largest face self-blended");
        return Ok(());
    }
    let faces = faces(args)?;
    let rows: Vec<[RgbImage; COLUMNS]> = (0..usize::from(args.rows))
        .map(|row| {
            let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
            rng.set_stream(row as u64);
            let face = &faces[row % faces.len()];
            if args.sbi {
                pair(&changes, face, donor(&faces, face), &mut rng)
            } else {
                augmentations(&changes, face, &mut rng)
            }
        })
        .collect::<Result<_>>()?;
    write(args, format, &sheet(&rows))?;
    say!("{shown}: {} rows of {} faces", rows.len(), faces.len().min(rows.len()));
    Ok(())
}

fn write(args: &PreviewArgs, format: ImageFormat, picture: &Canvas) -> Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    let context = || format!("{} cannot be encoded", args.output.display());
    picture.write_to(&mut bytes, format).with_context(context)?;
    files::write_bytes(&args.output, bytes.get_ref())
}

/// The first picture with a face, its largest face blended.
fn whole_fake(args: &PreviewArgs, changes: &Changes) -> Result<RgbImage> {
    let finder = scoring::face_finder()?;
    let blend = changes.self_blending.draw(&mut ChaCha8Rng::seed_from_u64(args.seed));
    for path in &args.data {
        for input in media::expand(path)?.inputs {
            for frame in media::open(&input, &OpenOptions { frames: 1, damage: Damage::Refuse })?.frames {
                let picture = frame?.image;
                let face = largest_face(&picture, &finder);
                if let Some(fake) = face.and_then(|face| blended_in_place(&picture, &face.landmarks, &blend)) {
                    return Ok(fake);
                }
            }
        }
    }
    Err(no_face(args))
}

/// The format that the output's extension names.
fn format(output: &Path) -> Result<ImageFormat> {
    match ImageFormat::from_path(output) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) => Ok(format),
        _ => bail!("{} names no format for a picture; let it end in .png, .jpg or .webp", output.display()),
    }
}

/// What the recipe says; without one, what training does where a recipe says nothing, or what suits pairs.
fn changes(args: &PreviewArgs) -> Result<Changes> {
    if let Some(path) = &args.config {
        let Recipe { augmentation, self_blending, .. } = read_unchecked_recipe(path, &[])?;
        return Ok(Changes { augmentation, self_blending });
    }
    let augmentation = if args.sbi { Augmentation::for_pairs() } else { Augmentation::default() };
    Ok(Changes { augmentation, self_blending: SelfBlending::default() })
}

/// The real image, the mask in white, and the fake, after the changes that both get.
fn pair(
    changes: &Changes,
    (face, landmarks): &Face,
    donor: Option<OtherFace>,
    rng: &mut ChaCha8Rng,
) -> Result<[RgbImage; COLUMNS]> {
    let pair = changes.self_blending.draw(rng).apply_with(face, landmarks, donor.as_ref());
    let pair = pair.context("the landmarks of a face leave nothing to blend; leave its picture out")?;
    let drawn = changes.augmentation.draw(rng);
    let (real, fake) = pair.augmented(&drawn);
    let [real, fake] = match drawn.filming() {
        Some(filming) => film(changes, [real, fake], filming, rng)?,
        None => [real, fake],
    };
    let mask = drawn.place(&visible(&pair.mask, face));
    Ok([face.clone(), real, mask, fake])
}

/// The other of the faces shown whose landmarks are nearest, for blends that want one.
fn donor(faces: &[Face], (face, landmarks): &Face) -> Option<OtherFace> {
    let far = |other: &Landmarks| pose_distance(landmarks, other);
    let others = faces.iter().filter(|(other, _)| other != face);
    let (image, landmarks) = others.min_by(|(_, one), (_, other)| far(one).total_cmp(&far(other)))?;
    Some(OtherFace { image: image.clone(), landmarks: *landmarks })
}

/// Three draws for the same face.
fn augmentations(changes: &Changes, (face, landmarks): &Face, rng: &mut ChaCha8Rng) -> Result<[RgbImage; COLUMNS]> {
    let [one, two, three] = [(); 3].map(|()| {
        let drawn = changes.augmentation.draw(rng);
        let image = drawn.apply(face, landmarks);
        match drawn.filming() {
            Some(filming) => film(changes, [image], filming, rng).map(|[image]| image),
            None => Ok(image),
        }
    });
    Ok([face.clone(), one?, two?, three?])
}

/// Images filmed alike, as a batch of their own.
fn film<const N: usize>(
    changes: &Changes,
    mut images: [RgbImage; N],
    filming: Filming,
    rng: &mut ChaCha8Rng,
) -> Result<[RgbImage; N]> {
    let shot = Shot { clips: images.iter().map(|image| vec![image.clone()]).collect(), filming };
    let filmed = changes.augmentation.video.film(&Programs::from_environment(), &[shot], N, rng)?;
    images.iter_mut().zip(filmed.into_iter().flatten().flatten()).for_each(|(image, filmed)| *image = filmed);
    Ok(images)
}

/// A mask as a grey image, white where it is 1. Its size is the face's, which would show where it were not.
fn visible(mask: &Mask, face: &RgbImage) -> RgbImage {
    let pixels = mask.values().iter().flat_map(|value| [(value * 255.0 + 0.5) as u8; 3]).collect();
    RgbImage::new(mask.width(), mask.height(), pixels).unwrap_or_else(|| face.clone())
}

/// As many faces as there are rows, or fewer where the inputs hold fewer.
fn faces(args: &PreviewArgs) -> Result<Vec<Face>> {
    let wanted = usize::from(args.rows);
    let spec = CropSpec { geometry: CropGeometry::Dfb, size: args.size.into(), margin: args.margin };
    let mut inputs = Vec::new();
    for path in &args.data {
        inputs.extend(media::expand(path)?.inputs);
    }
    // Inputs from all over a folder, and several frames of each where there are few.
    let step = (inputs.len() / wanted).max(1);
    let frames = wanted.div_ceil(inputs.len().max(1));
    let finder = if args.aligned { None } else { Some(scoring::face_finder()?) };
    let mut faces = Vec::new();
    let (first, rest): (Vec<_>, Vec<_>) = inputs.iter().enumerate().partition(|(index, _)| index % step == 0);
    for (_, input) in first.into_iter().chain(rest) {
        if faces.len() >= wanted {
            break;
        }
        faces.extend(faces_of(input, frames, &spec, finder.as_ref())?);
    }
    faces.truncate(wanted);
    if faces.is_empty() {
        return Err(no_face(args));
    }
    Ok(faces)
}

fn no_face(args: &PreviewArgs) -> anyhow::Error {
    anyhow!("no face was found in {}; name images or videos with faces", args.data[0].display())
}

fn largest_face(frame: &RgbImage, finder: &FaceFinder) -> Option<FoundFace> {
    let faces = finder.find(frame, &FindOptions::default());
    faces.into_iter().max_by(|one, other| one.bounds.area().total_cmp(&other.bounds.area()))
}

/// The largest face of each of some frames of an input.
fn faces_of(input: &Input, frames: usize, spec: &CropSpec, finder: Option<&FaceFinder>) -> Result<Vec<Face>> {
    let opened = media::open(input, &OpenOptions { frames, damage: Damage::Refuse })?;
    let mut faces = Vec::new();
    for frame in opened.frames {
        faces.extend(face_of(&frame?.image, spec, finder));
    }
    Ok(faces)
}

/// The largest face of a frame; the frame itself, resized, where there is no finder.
fn face_of(frame: &RgbImage, spec: &CropSpec, finder: Option<&FaceFinder>) -> Option<Face> {
    let points = template(spec.geometry, spec.size, spec.margin);
    let Some(finder) = finder else {
        return Some((frame.resize(spec.size, spec.size, Interpolation::Bicubic), points));
    };
    let largest = largest_face(frame, finder)?;
    let to_crop = Similarity::estimate(&largest.landmarks, &points)?;
    let landmarks = largest.landmarks.map(|point| to_crop.apply(point.map(f64::from)).map(|value| value as f32));
    Some((crop(frame, &largest.landmarks, spec)?, landmarks))
}

/// The images in rows on white.
fn sheet(rows: &[[RgbImage; COLUMNS]]) -> Canvas {
    let side = rows.first().map_or(0, |[face, ..]| face.width());
    let length = |count: usize| (count * (side + GAP) + GAP) as u32;
    let mut canvas = Canvas::from_pixel(length(COLUMNS), length(rows.len()), Rgb([255; 3]));
    for (index, image) in rows.iter().flatten().enumerate() {
        let place = |position: usize| GAP + position * (side + GAP);
        let (left, top) = (place(index % COLUMNS), place(index / COLUMNS));
        for (pixel, colour) in image.pixels().as_chunks::<3>().0.iter().enumerate() {
            let (x, y) = (left + pixel % side, top + pixel / side);
            canvas.put_pixel(x as u32, y as u32, Rgb(*colour));
        }
    }
    canvas
}

/// An image as the encoder takes it.
fn canvas(image: &RgbImage) -> Canvas {
    let colours = image.pixels().as_chunks::<3>().0;
    Canvas::from_fn(image.width() as u32, image.height() as u32, |x, y| {
        Rgb(colours[y as usize * image.width() + x as usize])
    })
}
