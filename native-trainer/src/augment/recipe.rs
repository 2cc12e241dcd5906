//! The changes of a recipe, decided once and made to as many images as belong together.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmask_core::face::Landmarks;
use unmask_core::image::RgbImage;

use super::colour::{BrightnessContrast, HsvShift, RgbShift, brightness_contrast, hsv_shift, rgb_shift};
use super::denoise::{Denoise, bilateral};
use super::distractor::{Distractor, Thing, distract};
use super::draw::{Limit, Probability};
use super::fancy_pca::{FancyPca, shift_of, shifted};
use super::filter::{Blur, Downscale, Sharpen, downscale, gaussian_blur, sharpen};
use super::jpeg::{Jpeg, Resave, recompress, resave};
use super::light::{Gamma, LowLight, Noise, Vignette, gamma, low_light, noise, vignette};
use super::moire::{Moire, Stripes, moire};
use super::motion::{MotionBlur, motion_blur};
use super::one_of::{Colour, OneOf};
use super::patch::{Pasted, Patch, paste};
use super::video::{Filming, Video};
use super::warp::{Border, Placement, Reframe, Rotate, flip, warp};

/// Which changes are made to a training image, how often and how strongly, in the order in which they are made.
///
/// The defaults are mirroring, turning, blurring, brightness and contrast, and JPEG as DeepfakeBench and the thesis have them,
/// but without `OneOf`, through which those change colours. A chance of 0 turns a change off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Patches beside the face, cut from elsewhere in the image (default: never).
    pub patch: Patch,
    /// Chance of the mirror image (default 0.5).
    pub flip: Probability,
    /// Turning about the centre; what comes in at the corners is the image mirrored (default: half of the images, up to
    /// 10 degrees).
    pub rotate: Rotate,
    /// Another zoom and place (default: never).
    pub reframe: Reframe,
    /// Things over the face (default: never).
    pub distractor: Distractor,
    /// Corners darker than the middle (default: never).
    pub vignette: Vignette,
    /// Blur along a line (default: never).
    pub motion_blur: MotionBlur,
    /// Making smaller and large again (default: never).
    pub downscale: Downscale,
    /// Gaussian blur (default: half of the images, kernels of 3 to 7 pixels).
    pub blur: Blur,
    /// Adding to red, green and blue (default: never).
    pub rgb_shift: RgbShift,
    /// Adding to hue, saturation and value (default: never).
    pub hsv_shift: HsvShift,
    /// Brightness and contrast (default: half of the images, each up to 0.1).
    pub brightness_contrast: BrightnessContrast,
    /// Adding what the image's own colours vary in (default: never).
    pub fancy_pca: FancyPca,
    /// A power law over the levels, which darkens or lightens (default: never).
    pub gamma: Gamma,
    /// Exactly one of several changes of colour, each at its place in this order (default: never).
    pub one_of: OneOf,
    /// The stripes of a screen that was filmed (default: never).
    pub moire: Moire,
    /// Darkness, with noise in the shadows (default: never).
    pub low_light: LowLight,
    /// Noise of a sensor (default: never).
    pub noise: Noise,
    /// Noise taken away, and fine detail with it (default: never).
    pub denoise: Denoise,
    /// Sharpening (default: never).
    pub sharpen: Sharpen,
    /// Resizing and JPEG compression several times (default: never).
    pub resave: Resave,
    /// JPEG compression (default: half of the images, quality 40 to 100).
    pub jpeg: Jpeg,
    /// Compression as a frame of a video (default: never). It is made for a whole batch at once, see `Video::film`.
    pub video: Video,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            patch: Patch::default(),
            flip: Probability(0.5),
            rotate: Rotate::default(),
            reframe: Reframe::default(),
            distractor: Distractor::default(),
            vignette: Vignette::default(),
            motion_blur: MotionBlur::default(),
            downscale: Downscale::default(),
            blur: Blur::default(),
            rgb_shift: RgbShift::default(),
            hsv_shift: HsvShift::default(),
            brightness_contrast: BrightnessContrast::default(),
            fancy_pca: FancyPca::default(),
            gamma: Gamma::default(),
            one_of: OneOf::default(),
            moire: Moire::default(),
            low_light: LowLight::default(),
            noise: Noise::default(),
            denoise: Denoise::default(),
            sharpen: Sharpen::default(),
            resave: Resave::default(),
            jpeg: Jpeg::default(),
            video: Video::default(),
        }
    }
}

impl Augmentation {
    /// No change at all.
    pub fn none() -> Self {
        let never = Probability(0.0);
        Self {
            flip: never,
            rotate: Rotate { probability: never, ..Rotate::default() },
            blur: Blur { probability: never, ..Blur::default() },
            brightness_contrast: BrightnessContrast { probability: never, ..BrightnessContrast::default() },
            jpeg: Jpeg { probability: never, ..Jpeg::default() },
            ..Self::default()
        }
    }

    /// What Shiohara & Yamasaki (2022) do to the real and the fake image of a pair alike: mirroring, colour, JPEG.
    pub fn for_pairs() -> Self {
        let sometimes = Probability(0.3);
        Self {
            flip: Probability(0.5),
            rgb_shift: RgbShift { probability: sometimes, ..RgbShift::default() },
            hsv_shift: HsvShift { probability: sometimes, ..HsvShift::default() },
            brightness_contrast: BrightnessContrast {
                probability: sometimes,
                brightness: Limit(0.3),
                contrast: Limit(0.3),
            },
            jpeg: Jpeg::default(),
            ..Self::none()
        }
    }

    /// Decides on the changes. The same state of the generator gives the same changes, whatever is switched off.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Drawn {
        let drawn = Drawn {
            flip: self.flip.draw(rng),
            rotate: self.rotate.draw(rng),
            downscale: self.downscale.draw(rng),
            blur: self.blur.draw(rng),
            rgb_shift: self.rgb_shift.draw(rng),
            hsv_shift: self.hsv_shift.draw(rng),
            brightness_contrast: self.brightness_contrast.draw(rng),
            jpeg: self.jpeg.draw(rng),
            reframe: self.reframe.draw(rng),
            gamma: self.gamma.draw(rng),
            noise: self.noise.draw(rng),
            sharpen: self.sharpen.draw(rng),
            resave: self.resave.draw(rng),
            motion_blur: self.motion_blur.draw(rng),
            vignette: self.vignette.draw(rng),
            denoise: self.denoise.draw(rng),
            moire: self.moire.draw(rng),
            low_light: self.low_light.draw(rng),
            video: self.video.draw(rng),
            distractor: self.distractor.draw(rng),
            patch: self.patch.draw(rng),
            fancy_pca: self.fancy_pca.draw(rng),
        };
        self.with_choice(drawn, rng)
    }

    /// The changes with those of [`OneOf`] as it chose. All of them are drawn, whichever is chosen.
    fn with_choice(&self, drawn: Drawn, rng: &mut ChaCha8Rng) -> Drawn {
        let (one_of, probability) = (&self.one_of, Probability(1.0));
        let chosen = one_of.draw(rng);
        let rgb_shift = RgbShift { probability, ..self.rgb_shift }.draw(rng);
        let hsv_shift = HsvShift { probability, ..self.hsv_shift }.draw(rng);
        let brightness_contrast = BrightnessContrast { probability, ..self.brightness_contrast }.draw(rng);
        let fancy_pca = FancyPca { probability, ..self.fancy_pca }.draw(rng);
        let gamma = Gamma { probability, ..self.gamma }.draw(rng);
        Drawn {
            rgb_shift: one_of.decided(Colour::RgbShift, chosen, drawn.rgb_shift, rgb_shift),
            hsv_shift: one_of.decided(Colour::HsvShift, chosen, drawn.hsv_shift, hsv_shift),
            brightness_contrast: one_of.decided(
                Colour::BrightnessContrast,
                chosen,
                drawn.brightness_contrast,
                brightness_contrast,
            ),
            fancy_pca: one_of.decided(Colour::FancyPca, chosen, drawn.fancy_pca, fancy_pca),
            gamma: one_of.decided(Colour::Gamma, chosen, drawn.gamma, gamma),
            ..drawn
        }
    }
}

/// Changes that were decided on, for every image that is to get the same: the frames of a clip, or the two of a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    flip: bool,
    rotate: Option<Placement>,
    downscale: Option<f64>,
    blur: Option<usize>,
    rgb_shift: Option<[f32; 3]>,
    hsv_shift: Option<[f32; 3]>,
    brightness_contrast: Option<[f32; 2]>,
    jpeg: Option<u8>,
    reframe: Option<Placement>,
    gamma: Option<f32>,
    noise: Option<(f32, u64)>,
    sharpen: Option<f32>,
    resave: Option<Vec<(f64, u8)>>,
    motion_blur: Option<(usize, f64)>,
    vignette: Option<(f32, [f32; 2])>,
    denoise: Option<(usize, f32)>,
    moire: Option<Stripes>,
    low_light: Option<(f32, f32, u64)>,
    video: Option<Filming>,
    distractor: Option<Vec<Thing>>,
    patch: Option<Vec<Pasted>>,
    fancy_pca: Option<f64>,
}

impl Drawn {
    /// The image of a face at `landmarks` with the changes made, in the same size, all but that of [`filming`](Self::filming).
    /// Compression comes last, as it does in the world.
    pub fn apply(&self, image: &RgbImage, landmarks: &Landmarks) -> RgbImage {
        let image = self.begun(image, landmarks);
        let shift = self.principal_shift(&image);
        self.finished(image, shift)
    }

    /// The images of faces that belong together, each as [`apply`](Self::apply) makes it, but what follows from an image's
    /// colours follows from those of the first for all of them.
    pub fn apply_to_all<'a>(&self, faces: impl IntoIterator<Item = (&'a RgbImage, &'a Landmarks)>) -> Vec<RgbImage> {
        let begun: Vec<RgbImage> = faces.into_iter().map(|(image, points)| self.begun(image, points)).collect();
        let shift = begun.first().and_then(|first| self.principal_shift(first));
        begun.into_iter().map(|image| self.finished(image, shift)).collect()
    }

    /// The changes up to that which depends on the image's own colours.
    fn begun(&self, image: &RgbImage, landmarks: &Landmarks) -> RgbImage {
        let image = match &self.patch {
            Some(patches) => self.place(&paste(image, patches, landmarks)),
            None => self.place(image),
        };
        let image = changed(image, &self.distractor, |image, things| distract(image, things));
        let image = changed(image, &self.vignette, |image, drawn| vignette(image, *drawn));
        let image = changed(image, &self.motion_blur, |image, line| motion_blur(image, *line));
        let image = changed(image, &self.downscale, |image, factor| downscale(image, *factor));
        let image = changed(image, &self.blur, |image, side| gaussian_blur(image, *side));
        let image = changed(image, &self.rgb_shift, |image, shift| rgb_shift(image, *shift));
        let image = changed(image, &self.hsv_shift, |image, shift| hsv_shift(image, *shift));
        changed(image, &self.brightness_contrast, |image, by| brightness_contrast(image, *by))
    }

    /// What is added to red, green and blue by the colours of this image, if anything.
    fn principal_shift(&self, image: &RgbImage) -> Option<[f64; 3]> {
        self.fancy_pca.map(|alpha| shift_of(image, alpha))
    }

    /// The rest of the changes, beginning with that shift.
    fn finished(&self, image: RgbImage, shift: Option<[f64; 3]>) -> RgbImage {
        let image = changed(image, &shift, |image, shift| shifted(image, *shift));
        let image = changed(image, &self.gamma, |image, exponent| gamma(image, *exponent));
        let image = changed(image, &self.moire, moire);
        let image = changed(image, &self.low_light, |image, drawn| low_light(image, *drawn));
        let image = changed(image, &self.noise, |image, drawn| noise(image, *drawn));
        let image = changed(image, &self.denoise, |image, drawn| bilateral(image, *drawn));
        let image = changed(image, &self.sharpen, |image, strength| sharpen(image, *strength, 1.0));
        let image = changed(image, &self.resave, |image, rounds| resave(image, rounds));
        changed(image, &self.jpeg, |image, quality| recompress(image, *quality))
    }

    /// How the images are filmed, after all other changes and in one batch with others, if they are.
    pub fn filming(&self) -> Option<Filming> {
        self.video
    }

    /// The image with those of the changes that move pixels: mirrored, turned and reframed. It is what a mask needs.
    pub fn place(&self, image: &RgbImage) -> RgbImage {
        let image = if self.flip { flip(image) } else { image.clone() };
        changed(image, &self.placement(), |image, placement| warp(image, placement, Border::Mirrored))
    }

    /// Turn and reframing as one, so that pixels are interpolated once.
    fn placement(&self) -> Option<Placement> {
        match (self.rotate, self.reframe) {
            (Some(turn), Some(place)) => Some(Placement { degrees: turn.degrees, ..place }),
            (turn, place) => turn.or(place),
        }
    }
}

/// The image changed, if the change was drawn.
fn changed<T>(image: RgbImage, drawn: &Option<T>, change: impl Fn(&RgbImage, &T) -> RgbImage) -> RgbImage {
    match drawn {
        Some(drawn) => change(&image, drawn),
        None => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const FACE: Landmarks = [[15.0, 11.0], [25.0, 11.0], [20.0, 16.0], [16.0, 20.0], [24.0, 20.0]];

    fn picture() -> RgbImage {
        let pixels = (0..40 * 30 * 3usize).map(|i| ((i * 37 + (i * i) % 91) % 256) as u8).collect();
        RgbImage::new(40, 30, pixels).unwrap()
    }

    #[test]
    fn an_empty_table_is_the_recipe_and_unknown_or_wrong_keys_are_refused() {
        assert_eq!(toml::from_str::<Augmentation>("").unwrap(), Augmentation::default());
        let written = "flip = 0\nrotate = { degrees = 5 }\nblur.kernel = [3, 11]\n[jpeg]\nprobability = 1";
        let read: Augmentation = toml::from_str(written).unwrap();
        assert_eq!((read.flip, f64::from(read.rotate.degrees)), (Probability(0.0), 5.0));
        assert_eq!((read.rotate.probability, read.jpeg.probability), (Probability(0.5), Probability(1.0)));
        assert_eq!(<[f64; 2]>::from(read.blur.kernel), [3.0, 11.0]);
        for (wrong, word) in
            [("blurr = {}", "blurr"), ("flip = 2", "from 0 to 1"), ("jpeg.quality = [0, 9]", "1 to 100")]
        {
            let error = toml::from_str::<Augmentation>(wrong).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_recipe_is_read_back_as_it_was_written() {
        let recipe = Augmentation::for_pairs();
        let written = toml::to_string(&recipe).unwrap();
        assert_eq!(toml::from_str::<Augmentation>(&written).unwrap(), recipe);
    }

    #[test]
    fn the_same_seed_gives_the_same_changes_and_the_same_pixels() {
        let image = picture();
        let drawn = |seed| Augmentation::default().draw(&mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(drawn(7), drawn(7));
        assert_eq!(drawn(7).apply(&image, &FACE), drawn(7).apply(&image, &FACE));
        assert!((0..8).any(|seed| drawn(seed) != drawn(7)));
    }

    #[test]
    fn switching_one_change_off_leaves_the_others_as_they_were_drawn() {
        let mut recipe = Augmentation::for_pairs();
        recipe.jpeg.probability = Probability(1.0);
        for seed in 0..50 {
            let with = recipe.draw(&mut ChaCha8Rng::seed_from_u64(seed));
            let without = Augmentation { rgb_shift: Augmentation::none().rgb_shift, ..recipe };
            let without = without.draw(&mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(without, Drawn { rgb_shift: None, ..with });
        }
    }

    #[test]
    fn what_is_drawn_first_does_not_depend_on_changes_that_were_added_later() {
        let always = Probability(1.0);
        let recipe = Augmentation {
            noise: Noise { probability: always, ..Noise::default() },
            resave: Resave { probability: always, ..Resave::default() },
            ..Augmentation::for_pairs()
        };
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let drawn = recipe.draw(&mut rng.clone());
            assert_eq!(drawn.flip, recipe.flip.draw(&mut rng));
            assert_eq!(drawn.rotate, recipe.rotate.draw(&mut rng));
            assert_eq!(drawn.downscale, recipe.downscale.draw(&mut rng));
            assert_eq!(drawn.blur, recipe.blur.draw(&mut rng));
            assert_eq!(drawn.rgb_shift, recipe.rgb_shift.draw(&mut rng));
            assert_eq!(drawn.hsv_shift, recipe.hsv_shift.draw(&mut rng));
            assert_eq!(drawn.brightness_contrast, recipe.brightness_contrast.draw(&mut rng));
            assert_eq!(drawn.jpeg, recipe.jpeg.draw(&mut rng));
            assert_eq!(drawn.reframe, recipe.reframe.draw(&mut rng));
            assert_eq!(drawn.gamma, recipe.gamma.draw(&mut rng));
            assert_eq!(drawn.noise, recipe.noise.draw(&mut rng));
            assert_eq!(drawn.sharpen, recipe.sharpen.draw(&mut rng));
            assert_eq!(drawn.resave, recipe.resave.draw(&mut rng));
        }
    }

    #[test]
    fn changes_come_as_often_as_their_chances_say() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let drawn: Vec<Drawn> = (0..4000).map(|_| Augmentation::default().draw(&mut rng)).collect();
        let share = |is_done: fn(&Drawn) -> bool| drawn.iter().filter(|drawn| is_done(drawn)).count() as f64 / 4000.0;
        for share in
            [share(|drawn| drawn.flip), share(|drawn| drawn.blur.is_some()), share(|drawn| drawn.jpeg.is_some())]
        {
            assert!((share - 0.5).abs() < 0.04, "{share}");
        }
        assert_eq!(share(|drawn| drawn.rgb_shift.is_some() || drawn.downscale.is_some()), 0.0);
    }

    /// DeepfakeBench's choice of a colour change.
    fn choosing() -> Augmentation {
        let written =
            "one_of = { probability = 1, weights = { brightness_contrast = 1, fancy_pca = 1, hsv_shift = 1 } }";
        toml::from_str(written).unwrap()
    }

    #[test]
    fn a_choice_makes_exactly_one_of_its_changes_and_leaves_all_others_as_they_were() {
        let mut recipe = choosing();
        recipe.gamma.probability = Probability(0.5);
        let mut made = [0; 3];
        for seed in 0..300 {
            let draw = |recipe: &Augmentation| recipe.draw(&mut ChaCha8Rng::seed_from_u64(seed));
            let (drawn, without) = (draw(&recipe), draw(&Augmentation { one_of: OneOf::default(), ..recipe }));
            let done = [drawn.brightness_contrast.is_some(), drawn.fancy_pca.is_some(), drawn.hsv_shift.is_some()];
            assert_eq!(done.iter().filter(|is_done| **is_done).count(), 1, "seed {seed}");
            made.iter_mut().zip(done).for_each(|(count, is_done)| *count += usize::from(is_done));
            let unchosen = Drawn { brightness_contrast: None, fancy_pca: None, hsv_shift: None, ..drawn };
            assert_eq!(unchosen, Drawn { brightness_contrast: None, ..without });
        }
        assert!(made.iter().all(|count| (70..130).contains(count)), "{made:?}");
    }

    #[test]
    fn images_that_belong_together_are_shifted_by_the_colours_of_the_first() {
        let mut recipe = Augmentation::none();
        recipe.fancy_pca = FancyPca { probability: Probability(1.0), deviation: Limit(2.0) };
        let drawn = recipe.draw(&mut ChaCha8Rng::seed_from_u64(2));
        let grey = RgbImage::new(40, 30, vec![120; 40 * 30 * 3]).unwrap();
        let both = drawn.apply_to_all([(&picture(), &FACE), (&grey, &FACE)]);
        assert_eq!(both[0], drawn.apply(&picture(), &FACE));
        assert_ne!(both[0], picture());
        let shift = drawn.principal_shift(&picture()).unwrap();
        assert_eq!(both[1], shifted(&grey, shift));
        assert_eq!(drawn.apply(&grey, &FACE), grey);
    }

    #[test]
    fn a_turn_and_a_reframing_together_are_both_made() {
        let mut recipe = Augmentation::none();
        recipe.rotate = Rotate { probability: Probability(1.0), ..Rotate::default() };
        recipe.reframe = Reframe { probability: Probability(1.0), ..Reframe::default() };
        let drawn = recipe.draw(&mut ChaCha8Rng::seed_from_u64(4));
        let both = drawn.placement().unwrap();
        let (turn, place) = (drawn.rotate.unwrap(), drawn.reframe.unwrap());
        assert_eq!((both.degrees, both.scale, both.shift), (turn.degrees, place.scale, place.shift));
        assert!(turn.degrees != 0.0 && place.scale[0] != 1.0 && place.shift[0] != place.shift[1]);
        let alone = Drawn { reframe: None, ..drawn.clone() };
        assert_ne!(drawn.apply(&picture(), &FACE), alone.apply(&picture(), &FACE));
    }

    #[test]
    fn without_changes_an_image_stays_as_it_is() {
        let drawn = Augmentation::none().draw(&mut ChaCha8Rng::seed_from_u64(5));
        assert_eq!(drawn.apply(&picture(), &FACE), picture());
    }

    #[test]
    fn any_image_keeps_its_size_even_without_pixels() {
        let mut recipe = Augmentation::for_pairs();
        recipe.rotate = Rotate::default();
        recipe.blur = Blur::default();
        let half = Probability(0.5);
        recipe.downscale.probability = half;
        recipe.reframe.probability = half;
        recipe.gamma.probability = half;
        recipe.noise.probability = half;
        recipe.sharpen.probability = half;
        recipe.resave.probability = half;
        recipe.motion_blur.probability = half;
        recipe.vignette.probability = half;
        recipe.denoise.probability = half;
        recipe.moire.probability = half;
        recipe.low_light.probability = half;
        recipe.distractor.probability = half;
        recipe.patch.probability = half;
        recipe.fancy_pca.probability = half;
        for (width, height) in [(0, 0), (0, 4), (1, 1), (1, 9), (40, 30)] {
            let image = RgbImage::new(width, height, vec![120; width * height * 3]).unwrap();
            for seed in 0..40 {
                let changed = recipe.draw(&mut ChaCha8Rng::seed_from_u64(seed)).apply(&image, &FACE);
                assert_eq!((changed.width(), changed.height()), (width, height));
            }
        }
    }
}
