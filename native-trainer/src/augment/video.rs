//! Loss by video compression: a picture as one frame of a short clip that went through a real codec.
//!
//! A picture is shown a few frames long while the camera moves slowly, and the frame that is taken is not the first, so that it is
//! predicted from others, as most frames of a video are. Starting an encoder costs more than a frame does, so the pictures of a
//! batch share a few streams: those of one stream have codecs, quality, size and length in common, and begin with a key frame
//! each. What an encoder spends on a frame depends on those around it, so the two pictures of each pair go
//! through two streams in the same order, every other pair the other way round: what neighbours do to a picture has nothing to do
//! with its label. What is left between two equal pictures is less than half of what the codec took away.

use std::collections::BTreeMap;
use std::thread;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use unmask_core::image::{Interpolation, RgbImage};

use super::draw::{Limit, Probability, Range, weighted};
use super::warp::{Border, Placement, warp};
use crate::media::Programs;
use crate::media::recode::{Codec, LEAST_SIDE, Pass, RecodeError, check, recode};

/// Being a frame of a video.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Video {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// How often each codec is used, in any unit.
    pub codecs: CodecWeights,
    /// Quality of H.264 and H.265, from 0 (lossless) to 51 (default 23 to 34).
    pub crf: Range<0, 51>,
    /// Quality of VP9 and AV1, from 0 to 63 (default 30 to 56).
    pub crf_of_63: Range<0, 63>,
    /// How many times smaller than the image the frames are (default 1 to 2).
    pub factor: Range<1, 8>,
    /// How many frames a picture is shown (default 3 to 6).
    pub frames: Range<2, 30>,
    /// How far the camera moves in a frame at most, across and down each, in parts of the sides (default 0.01).
    pub pan: Limit<1>,
    /// How much larger or smaller a frame shows the face than the one before at most (default 0.005).
    pub zoom: Limit<1>,
    /// Chance that the video is compressed a second time, as one that was sent on (default 0.3).
    pub twice: Probability,
}

impl Default for Video {
    fn default() -> Self {
        Self {
            probability: Probability(0.0),
            codecs: CodecWeights::default(),
            crf: Range(23.0, 34.0),
            crf_of_63: Range(30.0, 56.0),
            factor: Range(1.0, 2.0),
            frames: Range(3.0, 6.0),
            pan: Limit(0.01),
            zoom: Limit(0.005),
            twice: Probability(0.3),
        }
    }
}

/// How often each codec is used, in any unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodecWeights {
    /// H.264 (default 4).
    pub h264: Limit<1000>,
    /// H.265 (default 1).
    pub h265: Limit<1000>,
    /// VP9 (default 2).
    pub vp9: Limit<1000>,
    /// AV1 (default 1).
    pub av1: Limit<1000>,
}

impl Default for CodecWeights {
    fn default() -> Self {
        Self { h264: Limit(4.0), h265: Limit(1.0), vp9: Limit(2.0), av1: Limit(1.0) }
    }
}

impl CodecWeights {
    fn of(&self, codec: Codec) -> Limit<1000> {
        match codec {
            Codec::H264 => self.h264,
            Codec::H265 => self.h265,
            Codec::Vp9 => self.vp9,
            Codec::Av1 => self.av1,
        }
    }

    /// One of them; the first where none has a weight.
    fn draw(&self, rng: &mut ChaCha8Rng) -> Codec {
        weighted(&Codec::ALL.map(|codec| (codec, self.of(codec))), rng).unwrap_or(Codec::H264)
    }
}

/// How a picture or a clip is filmed, for all that are to be filmed alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Filming {
    /// Which of the streams it is in, in parts of their number.
    stream: f64,
    /// How many frames come before it, in parts of how many can.
    before: f64,
    /// Movement in a frame to the right and down, in parts of the sides.
    pan: [f64; 2],
    /// Logarithm of the factor from a frame to the next.
    zoom: f64,
}

/// What the pictures of a stream have in common.
#[derive(Clone, Debug, PartialEq)]
struct Stream {
    passes: Vec<Pass>,
    factor: f64,
    frames: usize,
}

/// What is filmed alike, in as many streams: one clip or the two of a pair, each of as many pictures.
#[derive(Clone, Debug)]
pub struct Shot {
    /// The frames of each image.
    pub clips: Vec<Vec<RgbImage>>,
    /// How they are encoded.
    pub filming: Filming,
}

/// Clips as they came back from a codec, in the order of their shot.
pub(super) type Filmed = Vec<Vec<RgbImage>>;

/// Clips for which a batch has one more stream, so that a larger batch has more different ones.
const CLIPS_A_STREAM: usize = 32;

impl Video {
    /// How a picture is filmed, if it is.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<Filming> {
        let is_done = self.probability.draw(rng);
        let filming = Filming {
            stream: rng.random(),
            before: rng.random(),
            pan: [self.pan.draw(rng), self.pan.draw(rng)],
            zoom: self.zoom.draw(rng),
        };
        is_done.then_some(filming)
    }

    /// Whether pictures are to be filmed, and by no codec.
    pub fn has_no_codec(&self) -> bool {
        self.probability.0 > 0.0 && Codec::ALL.iter().all(|codec| self.codecs.of(*codec).0 == 0.0)
    }

    /// Refuses, before anything is trained, what this machine cannot do.
    ///
    /// # Errors
    /// Videos are asked for and ffmpeg or one of the encoders is missing.
    pub fn check(&self, programs: &Programs) -> Result<(), RecodeError> {
        let wanted: Vec<Codec> = Codec::ALL.into_iter().filter(|codec| self.codecs.of(*codec).0 > 0.0).collect();
        if self.probability.0 > 0.0 { check(programs, &wanted) } else { Ok(()) }
    }

    /// Films the shots of a batch of `count` clips in all: each picture comes back in its own size, as it was decoded. `rng`
    /// gives what the streams of the batch have in common, and their order.
    ///
    /// # Errors
    /// ffmpeg is missing or fails.
    pub fn film(
        &self,
        programs: &Programs,
        shots: &[Shot],
        count: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Filmed>, RecodeError> {
        let streams: Vec<Stream> = (0..count.div_ceil(CLIPS_A_STREAM).max(1)).map(|_| self.stream(rng)).collect();
        let mut order: Vec<usize> = (0..shots.len()).collect();
        order.shuffle(rng);
        // Frames of a stream have one size, and all its groups one length.
        let mut groups: BTreeMap<(usize, Size), Vec<usize>> = BTreeMap::new();
        for shot in order {
            if let Some(size) = shots[shot].size() {
                let stream = (shots[shot].filming.stream * streams.len() as f64) as usize;
                groups.entry((stream.min(streams.len() - 1), size)).or_default().push(shot);
            }
        }
        let mut filmed: Vec<Filmed> = shots.iter().map(|shot| shot.clips.clone()).collect();
        let decoded: Vec<_> = thread::scope(|scope| {
            let runs: Vec<_> = groups
                .iter()
                .map(|((stream, size), members)| {
                    let shots: Vec<&Shot> = members.iter().map(|shot| &shots[*shot]).collect();
                    let stream = &streams[*stream];
                    scope.spawn(move || stream.film(programs, &shots, *size))
                })
                .collect();
            runs.into_iter().map(|run| run.join().unwrap_or_else(|_| Err(ended()))).collect()
        });
        for (members, decoded) in groups.values().zip(decoded) {
            for (shot, clips) in members.iter().zip(decoded?) {
                filmed[*shot] = clips;
            }
        }
        Ok(filmed)
    }

    fn stream(&self, rng: &mut ChaCha8Rng) -> Stream {
        let [first, second] = [(); 2].map(|()| {
            let codec = self.codecs.draw(rng);
            let (crf, crf_of_63) = (self.crf.draw_whole(rng), self.crf_of_63.draw_whole(rng));
            Pass { codec, crf: if codec.has_scale_of_63() { crf_of_63 } else { crf } }
        });
        let passes = if self.twice.draw(rng) { vec![first, second] } else { vec![first] };
        Stream { passes, factor: self.factor.draw(rng), frames: self.frames.draw_whole(rng) }
    }
}

/// What decides on the size of a shot's frames and on their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Size {
    /// Width and height of the first picture.
    picture: [usize; 2],
    pictures: usize,
    clips: usize,
}

impl Stream {
    /// The shots, which are all of this size, after the codecs: the first clips of all of them in one run of ffmpeg, the
    /// second ones in another.
    fn film(&self, programs: &Programs, shots: &[&Shot], size: Size) -> Result<Vec<Filmed>, RecodeError> {
        let frame = size.picture.map(|length| ((length as f64 / self.factor / 2.0) as usize * 2).max(LEAST_SIDE));
        let group = self.frames - 1 + size.pictures;
        let length = frame[0] * frame[1] * 3;
        // Neighbours in a stream change each other a little, so both streams of pairs hold as many first clips as second ones.
        let of = |place: usize, position: usize| if size.clips == 2 { place ^ (position & 1) } else { place };
        let film = |place: usize| -> Result<Vec<Vec<RgbImage>>, RecodeError> {
            let numbered = shots.par_iter().enumerate();
            let frames: Vec<Vec<u8>> =
                numbered.map(|(n, shot)| shot.frames(&shot.clips[of(place, n)], frame, self.frames)).collect();
            let decoded = recode(programs, frame, group, frames.concat(), &self.passes)?;
            let taken = |(n, (shot, frames)): (usize, (&&Shot, &[u8]))| {
                let frames = frames.chunks_exact(length).skip(shot.before(self.frames));
                frames.zip(&shot.clips[of(place, n)]).map(|(pixels, image)| in_size_of(image, pixels, frame)).collect()
            };
            Ok(shots.par_iter().zip(decoded.par_chunks_exact(length * group)).enumerate().map(taken).collect())
        };
        let film = &film;
        let places: Vec<_> = thread::scope(|scope| {
            let runs: Vec<_> = (0..size.clips).map(|place| scope.spawn(move || film(place))).collect();
            runs.into_iter().map(|run| run.join().unwrap_or_else(|_| Err(ended()))).collect()
        });
        let mut filmed = vec![Filmed::new(); shots.len()];
        for clips in places {
            filmed.iter_mut().zip(clips?).for_each(|(shot, clip)| shot.push(clip));
        }
        if size.clips == 2 {
            filmed.iter_mut().skip(1).step_by(2).for_each(|clips| clips.swap(0, 1));
        }
        Ok(filmed)
    }
}

/// The error for a thread that did not come to its end.
fn ended() -> RecodeError {
    RecodeError::Failed { detail: "a thread has ended".into() }
}

/// A decoded frame of `[width, height]`, in the size of the image that it shows.
fn in_size_of(image: &RgbImage, pixels: &[u8], frame: [usize; 2]) -> RgbImage {
    match RgbImage::new(frame[0], frame[1], pixels.to_vec()) {
        Some(decoded) => decoded.resize(image.width(), image.height(), Interpolation::Bilinear),
        None => image.clone(),
    }
}

impl Shot {
    /// What its frames have to be like; none where there is nothing to film.
    fn size(&self) -> Option<Size> {
        let first = self.clips.first()?.first().filter(|image| !image.pixels().is_empty())?;
        let (picture, pictures) = ([first.width(), first.height()], self.clips[0].len());
        let is_alike = self.clips.iter().all(|clip| clip.len() == pictures);
        is_alike.then_some(Size { picture, pictures, clips: self.clips.len() })
    }

    /// How many frames come before the first that is taken: one at the least, since that is a key frame.
    fn before(&self, frames: usize) -> usize {
        1 + ((self.filming.before * (frames - 1) as f64) as usize).min(frames - 2)
    }

    /// The frames of a clip in `size`, three bytes a pixel: its images, and the first and the last of them seen from where the
    /// camera was before and is after, so that there are `frames - 1` more.
    fn frames(&self, clip: &[RgbImage], size: [usize; 2], frames: usize) -> Vec<u8> {
        let small: Vec<RgbImage> =
            clip.iter().map(|image| image.resize(size[0], size[1], Interpolation::Bilinear)).collect();
        let (Some(first), Some(last)) = (small.first(), small.last()) else { return Vec::new() };
        let before = self.before(frames);
        let Filming { pan, zoom, .. } = self.filming;
        let moved = |image: &RgbImage, steps: f64| {
            let (scale, shift) = ([(zoom * steps).exp(); 2], pan.map(|step| step * steps));
            warp(image, &Placement { degrees: 0.0, scale, shift }, Border::Mirrored).pixels().to_vec()
        };
        let lead = (1..=before).rev().map(|steps| moved(first, -(steps as f64)));
        let tail = (1..frames - before).map(|steps| moved(last, steps as f64));
        lead.chain(small.iter().map(|image| image.pixels().to_vec())).chain(tail).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn picture(seed: usize, side: usize) -> RgbImage {
        // Pictures differ in brightness as well, which no codec takes away.
        let base = 60.0 + (seed * 37 % 100) as f64;
        let wave = |i: usize, step: f64| (base + 50.0 * (i as f64 * step + seed as f64).sin()) as u8;
        let pixel = |i: usize| [wave(i % side, 0.21), wave(i / side, 0.33), wave(i % side + i / side, 0.5)];
        RgbImage::new(side, side, (0..side * side).flat_map(pixel).collect()).unwrap()
    }

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    fn always() -> Video {
        Video { probability: Probability(1.0), ..Video::default() }
    }

    fn distance(one: &RgbImage, other: &RgbImage) -> f64 {
        let differences = one.pixels().iter().zip(other.pixels()).map(|(a, b)| f64::from(a.abs_diff(*b)));
        differences.sum::<f64>() / one.pixels().len() as f64
    }

    /// Pairs filmed alike, as batches have them.
    fn pairs(video: &Video, count: usize, fake: impl Fn(usize) -> RgbImage) -> Vec<Shot> {
        let mut rng = rng(1);
        let pair = |index| {
            let filming = video.draw(&mut rng).unwrap();
            Shot { clips: vec![vec![picture(index, 96)], vec![fake(index)]], filming }
        };
        (0..count).map(pair).collect()
    }

    #[test]
    fn a_batch_comes_back_compressed_in_its_order_and_the_same_for_a_seed() {
        if !Codec::are_here() {
            return;
        }
        let (video, programs) = (always(), Programs::from_environment());
        let shots = pairs(&video, 6, |index| picture(index + 40, 96));
        let film = |seed| video.film(&programs, &shots, 12, &mut rng(seed)).unwrap();
        let filmed = film(3);
        let all: Vec<&RgbImage> = shots.iter().flat_map(|shot| shot.clips.iter().flatten()).collect();
        for (index, (image, decoded)) in all.iter().zip(filmed.iter().flatten().flatten()).enumerate() {
            let own = distance(image, decoded);
            let nearest = all.iter().map(|other| distance(other, decoded)).fold(f64::INFINITY, f64::min);
            assert!(own > 0.5 && own == nearest, "{index}: {own} but {nearest}");
        }
        assert_eq!(film(3), filmed);
        assert_ne!(film(4), filmed);
    }

    #[test]
    fn two_equal_images_of_a_pair_come_back_equal_and_nearly_so_after_pairs_that_differ() {
        let programs = Programs::from_environment();
        for codec in Codec::ALL.into_iter().filter(|codec| codec.is_here()) {
            let only = |other: Codec| Limit(f64::from(u8::from(other == codec)));
            let codecs = CodecWeights {
                h264: only(Codec::H264),
                h265: only(Codec::H265),
                vp9: only(Codec::Vp9),
                av1: only(Codec::Av1),
            };
            let video = Video { codecs, ..always() };
            let film = |shots: &[Shot]| video.film(&programs, shots, 8, &mut rng(3)).unwrap();
            for pair in film(&pairs(&video, 4, |index| picture(index, 96))) {
                assert_eq!(pair[0], pair[1], "{codec:?}");
            }
            // Every other fake has a patch that its real picture lacks.
            let fake = |index: usize| {
                let mut pixels = picture(index, 96).pixels().to_vec();
                if index % 2 == 1 {
                    pixels[96 * 3 * 40..96 * 3 * 56].iter_mut().for_each(|value| *value = value.wrapping_add(9));
                }
                RgbImage::new(96, 96, pixels).unwrap()
            };
            let (shots, mut apart, mut lost) = (pairs(&video, 8, fake), 0.0, 0.0);
            for (pair, shot) in film(&shots).iter().zip(&shots).step_by(2) {
                apart += distance(&pair[0][0], &pair[1][0]);
                lost += distance(&shot.clips[0][0], &pair[0][0]);
            }
            assert!(apart < 0.3 * lost, "{codec:?}: {apart} of {lost}");
        }
    }

    #[test]
    fn the_frame_that_is_taken_is_the_image_itself_and_never_the_first() {
        let image = picture(0, 64);
        for seed in 0..40 {
            let filming = always().draw(&mut rng(seed)).unwrap();
            let clip = vec![image.clone(), picture(1, 64)];
            let shot = Shot { clips: vec![clip.clone()], filming };
            for frames in [2, 3, 6] {
                let bytes = shot.frames(&clip, [64, 64], frames);
                let all: Vec<&[u8]> = bytes.chunks(64 * 64 * 3).collect();
                let before = shot.before(frames);
                assert!(all.len() == frames + 1 && (1..frames).contains(&before), "{before} of {frames}");
                assert_eq!((all[before], all[before + 1]), (image.pixels(), picture(1, 64).pixels()));
                assert_ne!(all[0], all[1], "the camera moves");
            }
        }
    }

    #[test]
    fn images_of_clips_other_sizes_and_no_pixels_keep_their_number_and_size() {
        if !Codec::are_here() {
            return;
        }
        let (video, programs) = (always(), Programs::from_environment());
        let filming = |seed| video.draw(&mut rng(seed)).unwrap();
        let clip = |sizes: &[usize]| sizes.iter().map(|side| picture(*side, *side)).collect::<Vec<_>>();
        let shots = [
            Shot { clips: vec![clip(&[33, 33, 33]), clip(&[40, 40, 40])], filming: filming(1) },
            Shot { clips: vec![clip(&[70])], filming: filming(2) },
            Shot { clips: vec![clip(&[0])], filming: filming(3) },
            Shot { clips: vec![clip(&[])], filming: filming(4) },
            Shot { clips: Vec::new(), filming: filming(5) },
        ];
        let filmed = video.film(&programs, &shots, 5, &mut rng(1)).unwrap();
        let sizes = |clips: &[Vec<RgbImage>]| -> Vec<Vec<usize>> {
            clips.iter().map(|clip| clip.iter().map(RgbImage::width).collect()).collect()
        };
        for (shot, clips) in shots.iter().zip(&filmed) {
            assert_eq!(sizes(&shot.clips), sizes(clips));
        }
        assert_ne!(filmed[0], shots[0].clips);
        assert!(video.film(&programs, &[], 0, &mut rng(1)).unwrap().is_empty());
    }

    #[test]
    fn codecs_come_as_often_as_their_weights_say() {
        let weights = CodecWeights { h264: Limit(2.0), h265: Limit(0.0), vp9: Limit(1.0), av1: Limit(1.0) };
        let mut rng = rng(5);
        let mut counts = BTreeMap::new();
        (0..4000).for_each(|_| *counts.entry(weights.draw(&mut rng)).or_insert(0) += 1);
        assert!((1850..2150).contains(&counts[&Codec::H264]) && !counts.contains_key(&Codec::H265), "{counts:?}");
        assert!((900..1100).contains(&counts[&Codec::Vp9]), "{counts:?}");
    }
}
