//! What happens to videos on their way, one thing at a time and as strong as asked: to measure what a detector stands.

use anyhow::Result;
use rand::RngExt;
use rayon::prelude::*;
use unmask_core::image::RgbImage;

use super::colour::brightness_contrast;
use super::draw::{Limit, Probability, Range};
use super::filter::{downscale, gaussian_blur};
use super::jpeg::recompress;
use super::light::noise;
use super::video::{CodecWeights, Shot, Video};
use crate::media::{Programs, recode::Codec, recode::check};
use crate::random::generator;

/// One thing that is done to crops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degradation {
    /// Compression as JPEG, by its quality from 100 down.
    Jpeg,
    /// A Gaussian blur, by the side of its kernel in pixels of the crop.
    Blur,
    /// Made smaller and large again, by the factor.
    Resize,
    /// Normally distributed noise, by its standard deviation in levels.
    Noise,
    /// Lighter or darker, by what is added to every level in percent of the range.
    Brightness,
    /// A frame of a video in H.264, by the encoder's constant rate factor: the higher, the fewer bits.
    Video,
}

impl Degradation {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Jpeg, Self::Blur, Self::Resize, Self::Noise, Self::Brightness, Self::Video];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Blur => "blur",
            Self::Resize => "resize",
            Self::Noise => "noise",
            Self::Brightness => "brightness",
            Self::Video => "video",
        }
    }

    /// What its strengths are, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Jpeg => "Quality of JPEG",
            Self::Blur => "Gaussian blur, kernel in pixels",
            Self::Resize => "Reduced by this factor",
            Self::Noise => "Noise, deviation in levels",
            Self::Brightness => "Brightness in percent",
            Self::Video => "H.264, constant rate factor",
        }
    }

    /// The strengths that are measured, in order; `None` where the crop is as it is.
    pub fn strengths(self) -> &'static [Option<f64>] {
        match self {
            Self::Jpeg => &[None, Some(90.0), Some(70.0), Some(50.0), Some(30.0), Some(15.0)],
            Self::Blur => &[None, Some(3.0), Some(7.0), Some(13.0), Some(21.0)],
            Self::Resize => &[None, Some(1.5), Some(2.0), Some(3.0), Some(4.0)],
            Self::Noise => &[None, Some(4.0), Some(8.0), Some(16.0), Some(32.0)],
            Self::Brightness => &[Some(-40.0), Some(-20.0), None, Some(20.0), Some(40.0)],
            Self::Video => &[None, Some(23.0), Some(28.0), Some(33.0), Some(38.0), Some(43.0)],
        }
    }

    /// Refuses, before anything is measured, what this machine cannot do.
    ///
    /// # Errors
    /// ffmpeg or its encoder of H.264 is missing.
    pub fn check_all(programs: &Programs) -> Result<()> {
        Ok(check(programs, &[Codec::H264])?)
    }

    /// The clips at a strength, each as its `key` says whatever is beside it; but a codec's frames depend a little on those of
    /// the other clips.
    ///
    /// # Errors
    /// ffmpeg fails.
    pub fn apply(
        self,
        clips: Vec<Vec<RgbImage>>,
        keys: &[String],
        strength: f64,
        seed: u64,
    ) -> Result<Vec<Vec<RgbImage>>> {
        if self == Self::Video {
            return film(clips, keys, strength, seed);
        }
        let each = |(clip, key): (Vec<RgbImage>, &String)| -> Vec<RgbImage> {
            let changed = |(index, image): (usize, &RgbImage)| self.image(image, strength, (seed, key, index as u64));
            clip.iter().enumerate().map(changed).collect()
        };
        Ok(clips.into_par_iter().zip(keys).map(each).collect())
    }

    fn image(self, image: &RgbImage, strength: f64, (seed, key, index): (u64, &str, u64)) -> RgbImage {
        match self {
            Self::Jpeg => recompress(image, strength as u8),
            Self::Blur => gaussian_blur(image, strength as usize),
            Self::Resize => downscale(image, strength),
            Self::Noise => noise(image, (strength as f32, generator(seed, &format!("noise {key}"), &[index]).random())),
            Self::Brightness => brightness_contrast(image, [(strength / 100.0) as f32, 0.0]),
            Self::Video => image.clone(),
        }
    }
}

/// The clips as frames of one stream of H.264, in which the camera moves slowly and a picture is predicted from those before.
fn film(clips: Vec<Vec<RgbImage>>, keys: &[String], crf: f64, seed: u64) -> Result<Vec<Vec<RgbImage>>> {
    let video = Video {
        probability: Probability(1.0),
        codecs: CodecWeights { h264: Limit(1.0), h265: Limit(0.0), vp9: Limit(0.0), av1: Limit(0.0) },
        crf: Range(crf, crf),
        factor: Range(1.0, 1.0),
        frames: Range(4.0, 4.0),
        twice: Probability(0.0),
        ..Video::default()
    };
    let shot = |(clip, key): (&Vec<RgbImage>, &String)| {
        let filming = video.draw(&mut generator(seed, &format!("filming {key}"), &[]))?;
        Some(Shot { clips: vec![clip.clone()], filming })
    };
    let shots: Vec<Shot> = clips.iter().zip(keys).filter_map(shot).collect();
    // One stream, whatever the number of clips: all are encoded alike anyway.
    let filmed = video.film(&Programs::from_environment(), &shots, 1, &mut generator(seed, "streams", &[]))?;
    Ok(filmed.into_iter().map(|mut of_shot| of_shot.pop().unwrap_or_default()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(side: usize, step: f32) -> RgbImage {
        let wave = |i: usize, step: f32| (120.0 + 80.0 * (i as f32 * step).sin()) as u8;
        let pixels = (0..side * side).flat_map(|i| [wave(i % side, step), wave(i / side, 0.3), wave(i % 7, 0.9)]);
        RgbImage::new(side, side, pixels.collect()).unwrap()
    }

    fn distance(one: &RgbImage, other: &RgbImage) -> f64 {
        let apart = one.pixels().iter().zip(other.pixels()).map(|(one, other)| f64::from(one.abs_diff(*other)));
        apart.sum::<f64>() / one.pixels().len() as f64
    }

    #[test]
    fn each_step_takes_more_away_the_same_every_time_and_keeps_the_size() {
        let clips = vec![vec![picture(96, 0.7)], vec![picture(96, 1.1)]];
        let keys = ["a".to_owned(), "b".to_owned()];
        for degradation in Degradation::ALL {
            if degradation == Degradation::Video && !Codec::are_here() {
                continue;
            }
            let lost = |strength: f64| {
                let changed = degradation.apply(clips.clone(), &keys, strength, 1).unwrap();
                assert_eq!(changed, degradation.apply(clips.clone(), &keys, strength, 1).unwrap(), "{degradation:?}");
                assert!(changed.iter().flatten().all(|image| [image.width(), image.height()] == [96, 96]));
                changed.iter().zip(&clips).map(|(changed, clip)| distance(&changed[0], &clip[0])).sum::<f64>()
            };
            let losses: Vec<f64> = degradation.strengths().iter().flatten().map(|strength| lost(*strength)).collect();
            match degradation {
                Degradation::Brightness => assert!(losses[0] > losses[1] && losses[3] > losses[2], "{losses:?}"),
                _ => assert!(losses.is_sorted() && losses[0] > 0.0, "{degradation:?}: {losses:?}"),
            }
        }
    }

    #[test]
    fn noise_of_a_crop_depends_on_its_name_and_not_on_its_neighbours() {
        let clip = vec![picture(32, 0.7)];
        let noisy = |keys: &[&str]| {
            let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            Degradation::Noise.apply(vec![clip.clone(); keys.len()], &keys, 8.0, 3).unwrap()
        };
        let both = noisy(&["a", "b"]);
        assert_ne!(both[0], both[1]);
        assert_eq!(both[1], noisy(&["b"])[0]);
    }
}
