//! The batches of a run, prepared ahead while the model is busy with the ones before: several at a time, since making one
//! waits for itself (for files, for encoders, for its slowest picture) and a GPU is faster than that.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::{Result, anyhow};
use burn::prelude::*;
use rayon::prelude::*;
use unmask_core::detector::FrontEnd;
use unmask_core::detector::spec::DetectorSpec;
use unmask_core::face::Landmarks;
use unmask_core::face::alignment::CropSpec;
use unmask_core::image::RgbImage;

use super::donors::donor;
use super::partners::{Partner, Partners, at_the_same_time};
use super::recipe::Recipe;
use super::sampler::{Clip, epoch_clips};
use crate::augment::sbi::{Blend, OtherFace, SelfBlended};
use crate::augment::{Filming, Shot};
use crate::datasets::{Label, Video};
use crate::media::Programs;
use crate::predict::stored_crops;
use crate::random::generator;
use crate::twins::{landmarks, self_blended};

/// Batches that are made at a time, or wait for the model.
const AHEAD: usize = 3;

/// What one optimizer step sees.
pub(super) struct Batch {
    /// Normalised pixels `[clips, T, 3, size, size]`.
    pub(super) pixels: Tensor<5>,
    pub(super) labels: Vec<Label>,
}

/// One clip of a batch.
struct Example {
    images: Vec<RgbImage>,
    label: Label,
    /// How it is to be filmed, in one batch with the others, if it is.
    filming: Option<Filming>,
}

/// Makes the batches of a run out of its videos.
pub(super) struct Examples {
    /// Those that clips are drawn from: all of them, or in pairs the real ones …
    videos: Vec<Video>,
    /// … which these then stand beside.
    partners: Option<Partners>,
    recipe: Recipe,
    /// Prepares pixels as scoring does.
    front_end: FrontEnd,
    /// Where the face lies in crops without landmarks.
    crop: CropSpec,
    clip_length: usize,
    steps_per_epoch: usize,
}

impl Examples {
    /// Batches of `videos` for the detector that `spec` describes.
    pub(super) fn new(videos: Vec<Video>, recipe: &Recipe, spec: &DetectorSpec, front_end: &FrontEnd) -> Self {
        let clip_length = spec.clip_length();
        let videos = videos.into_iter().filter(|video| !video.crops.is_empty()).collect();
        let (videos, partners) = if recipe.data.in_pairs() {
            let (real, partners) = Partners::split(videos, &recipe.data);
            (real, Some(partners))
        } else {
            (videos, None)
        };
        let (recipe, front_end) = (recipe.clone(), front_end.clone());
        let mut examples =
            Self { videos, partners, recipe, front_end, crop: spec.crop, clip_length, steps_per_epoch: 0 };
        // Every epoch has as many clips as the first.
        examples.steps_per_epoch = examples.epoch(0).len() / examples.clips_per_batch();
        examples
    }

    /// Clips that one batch takes from the videos: in pairs half as many as it has, since each gives a real example and a
    /// fake one.
    fn clips_per_batch(&self) -> usize {
        if self.partners.is_some() { self.recipe.run.batch / 2 } else { self.recipe.run.batch }
    }

    /// The videos that clips are drawn from: in pairs, the real ones that a fake can stand beside.
    pub(super) fn videos(&self) -> &[Video] {
        &self.videos
    }

    /// Whether there is no video that a clip could be drawn from, as where no real one has a fake to stand beside it.
    pub(super) fn is_empty(&self) -> bool {
        self.videos.is_empty()
    }

    /// Optimizer steps in an epoch; what does not fill a batch is left for another epoch's order.
    pub(super) fn steps_per_epoch(&self) -> usize {
        self.steps_per_epoch
    }

    fn epoch(&self, epoch: usize) -> Vec<Clip> {
        epoch_clips(&self.videos, &self.recipe.data, self.clip_length, self.recipe.seed, epoch)
    }

    /// The batches of the steps `first..end`, counted from the start of the run, in their order.
    pub(super) fn from_step(self: Arc<Self>, first: usize, end: usize) -> impl Iterator<Item = Result<Batch>> {
        let makers: Vec<Receiver<Result<Batch>>> = (0..AHEAD).map(|maker| self.every(first + maker, end)).collect();
        let stopped =
            || Err(anyhow!("what prepares the batches has stopped; please report this with what stands above"));
        (first..end).map(move |step| makers[(step - first) % AHEAD].recv().unwrap_or_else(|_| stopped()))
    }

    /// The batches of every [`AHEAD`]th step of `first..end`, from a thread of their own, which makes one before it is wanted.
    fn every(self: &Arc<Self>, first: usize, end: usize) -> Receiver<Result<Batch>> {
        let (sender, receiver) = sync_channel(0);
        let examples = Arc::clone(self);
        std::thread::spawn(move || {
            let steps = examples.steps_per_epoch;
            let mut epoch: Option<(usize, Vec<Clip>)> = None;
            for step in (first..end).step_by(AHEAD) {
                let number = step / steps;
                let clips = match epoch.take() {
                    Some((current, clips)) if current == number => clips,
                    _ => examples.epoch(number),
                };
                let batch = examples.batch(&clips, number, step % steps);
                epoch = Some((number, clips));
                // Nobody listens any more: the run has ended early.
                if sender.send(batch).is_err() {
                    return;
                }
            }
        });
        receiver
    }

    /// Batch `index` of an epoch.
    fn batch(&self, clips: &[Clip], epoch: usize, index: usize) -> Result<Batch> {
        let count = self.clips_per_batch();
        let chosen = &clips[index * count..(index + 1) * count];
        let examples: Vec<Vec<Example>> = chosen
            .par_iter()
            .enumerate()
            .map(|(place, clip)| self.examples(*clip, [epoch as u64, (index * count + place) as u64]))
            .collect::<Result<_>>()?;
        let examples = self.filmed(examples.into_iter().flatten().collect(), [epoch as u64, index as u64])?;
        let (images, labels): (Vec<Vec<RgbImage>>, Vec<Label>) =
            examples.into_iter().map(|example| (example.images, example.label)).unzip();
        Ok(Batch { pixels: self.front_end.pixels(&images.concat()), labels })
    }

    /// A batch of which those are filmed that are to be.
    fn filmed(&self, mut examples: Vec<Example>, place: [u64; 2]) -> Result<Vec<Example>> {
        // The two of a pair follow each other, and are filmed alike.
        let alike = if self.partners.is_some() { 2 } else { 1 };
        let count = examples.len();
        let mut shots = Vec::new();
        for examples in examples.chunks_mut(alike) {
            if let Some(filming) = examples[0].filming {
                let clips = examples.iter_mut().map(|example| std::mem::take(&mut example.images)).collect();
                shots.push(Shot { clips, filming });
            }
        }
        if shots.is_empty() {
            return Ok(examples);
        }
        let (video, mut rng) = (&self.recipe.augmentation.video, generator(self.recipe.seed, "video", &place));
        let filmed = video.film(&Programs::from_environment(), &shots, count, &mut rng)?;
        let chosen = examples.iter_mut().filter(|example| example.filming.is_some());
        chosen.zip(filmed.into_iter().flatten()).for_each(|(example, images)| example.images = images);
        Ok(examples)
    }

    /// What one clip gives: itself, or in pairs itself and a fake of it.
    fn examples(&self, clip: Clip, place: [u64; 2]) -> Result<Vec<Example>> {
        let video = &self.videos[clip.video];
        let indices: Vec<usize> = clip.crops(self.clip_length, video.crops.len()).collect();
        let images = stored_crops(video, &indices)?;
        let mut rng = generator(self.recipe.seed, "augmentation", &place);
        let Some(partners) = &self.partners else {
            let drawn = self.recipe.augmentation.draw(&mut rng);
            let images = drawn.apply_to_all(images.iter().zip(&self.points(&images, video, &indices)));
            return Ok(vec![Example { images, label: video.label, filming: drawn.filming() }]);
        };
        let (blend, drawn) = (self.recipe.self_blending.draw(&mut rng), self.recipe.augmentation.draw(&mut rng));
        let (real, fake) = match partners.draw(video, &mut generator(self.recipe.seed, "partner", &place)) {
            Partner::SelfBlended => {
                let donors = self.donors(video, &indices, &blend, place)?;
                let pair = |(place, (image, index)): (usize, (&RgbImage, &usize))| {
                    let crop = &video.crops[*index];
                    self_blended(image, crop, &blend, donors.get(place), &self.crop)
                };
                let pairs = images.iter().zip(&indices).enumerate().map(pair).collect::<Result<Vec<_>>>()?;
                SelfBlended::all_augmented(&pairs, &drawn)
            }
            Partner::Of(fake) => {
                let shown = at_the_same_time(video, &indices, fake);
                let fakes = stored_crops(fake, &shown)?;
                let (real, fake) = (self.points(&images, video, &indices), self.points(&fakes, fake, &shown));
                // What is put beside a face lies in the same place on both, whether or not their points differ by a pixel.
                let size = |image: &RgbImage| (image.width(), image.height());
                let is_alike = images.iter().zip(&fakes).all(|(one, other)| size(one) == size(other));
                let fake = if is_alike { &real } else { &fake };
                let mut changed = drawn.apply_to_all(images.iter().zip(&real).chain(fakes.iter().zip(fake)));
                let fake = changed.split_off(images.len());
                (changed, fake)
            }
        };
        let both = [(real, Label::Real), (fake, Label::Fake)];
        Ok(both.map(|(images, label)| Example { images, label, filming: drawn.filming() }).into())
    }

    /// The faces that are lent to the crops `indices` of a video, one for each; none where the blend wants none.
    fn donors(&self, video: &Video, indices: &[usize], blend: &Blend, place: [u64; 2]) -> Result<Vec<OtherFace>> {
        let mut rng = generator(self.recipe.seed, "donor", &place);
        let Some((other, crops)) = blend.wants_donor().then(|| donor(&self.videos, video, indices, &mut rng)).flatten()
        else {
            return Ok(Vec::new());
        };
        let images = stored_crops(other, &crops)?.into_iter().zip(&crops);
        let lent = images
            .map(|(image, crop)| OtherFace { landmarks: landmarks(&image, &other.crops[*crop], &self.crop), image });
        Ok(lent.collect())
    }

    /// The landmarks of the crops `indices` of a video, in pixels of `images`.
    fn points(&self, images: &[RgbImage], video: &Video, indices: &[usize]) -> Vec<Landmarks> {
        images.iter().zip(indices).map(|(image, index)| landmarks(image, &video.crops[*index], &self.crop)).collect()
    }
}
