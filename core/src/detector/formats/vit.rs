//! Vision transformers of timm and of transformers, as detectors were published on them.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::clip::head_name;
use super::resample::bicubic_antialiased;
use super::{Fate, Format, Hints, Theirs, head_kind};
use crate::detector::models::IMAGENET_NORMALISATION;
use crate::detector::vit::{VitConfig, VitFamily};
use crate::detector::{Architecture, Sizes};
use crate::face::alignment::CropGeometry;
use crate::image::Interpolation;
use crate::weights::{TensorSource, WeightsError};

/// Our tensor by which a vision transformer is known.
const MARK: &str = "tower.class_embedding";

const HALF: [[f32; 3]; 2] = [[0.5; 3], [0.5; 3]];
/// FS-VFM's own, of faces.
const FACES: [[f32; 3]; 2] = [[0.548_220_75, 0.423_405_35, 0.365_465_16], [0.278_917_6, 0.243_854_08, 0.234_934_9]];

/// The shapes of a transformer's tensors.
struct Shapes<'a>(&'a dyn TensorSource);

impl Shapes<'_> {
    fn of(&self, name: &str) -> Result<Vec<usize>, WeightsError> {
        self.0.shape(name).ok_or_else(|| WeightsError::Missing(name.to_string()))
    }

    fn rows(&self, name: &str) -> Result<usize, WeightsError> {
        Ok(self.of(name)?.first().copied().unwrap_or(0))
    }

    /// Layers, width, side of a patch, and width inside the perceptrons.
    fn sizes(&self) -> Result<[usize; 4], WeightsError> {
        let patch = self.of("tower.patches.weight")?;
        let [width, 3, side, _] = patch[..] else {
            return Err(WeightsError::ImpossibleSpec(format!("a patch embedding of shape {patch:?}")));
        };
        let has = |layer: &usize| self.0.shape(&format!("tower.layers.{layer}.norm1.weight")).is_some();
        Ok([(0..).take_while(has).count(), width, side, self.rows("tower.layers.0.mlp.fc1.weight")?])
    }

    /// Side of the grid that there are positions for.
    fn grid(&self) -> Result<usize, WeightsError> {
        let positions = self.of("tower.position_embedding")?;
        let tokens = positions.iter().rev().nth(1).copied().unwrap_or(0);
        let side = tokens.saturating_sub(1).isqrt();
        match side * side + 1 == tokens {
            true => Ok(side),
            false => Err(WeightsError::ImpossibleSpec(format!(
                "{tokens} position embeddings, which is not a square and one"
            ))),
        }
    }
}

/// A tensor of GenD's head, where a checkpoint has one.
fn head_of(name: &str, has_head: bool) -> Fate {
    if has_head { head_name(name).into() } else { Fate::Unknown }
}

fn checked(config: VitConfig) -> Result<Architecture, WeightsError> {
    config.check().map_err(WeightsError::ImpossibleSpec)?;
    Ok(Architecture::Vit(config))
}

/// The attention heads of a tower, where a user did not say: heads of 64 channels, as all published ones have.
fn heads_of_64(width: usize, hints: &Hints) -> usize {
    hints.heads.unwrap_or((width / 64).max(1))
}

/// The Perception Encoder, pretrained or as GenD (`yermandy/GenD_PE_L`).
pub(super) struct Perception {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What stands before the encoder's names.
    pub(super) prefix: &'static str,
    /// Whether it has GenD's head.
    pub(super) has_head: bool,
}

impl Format for Perception {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn description(&self) -> &'static str {
        "a checkpoint of the Perception Encoder"
    }

    fn mark(&self) -> &'static str {
        "tower.pool.latent"
    }

    fn fate(&self, name: &str) -> Fate {
        match name.strip_prefix(self.prefix) {
            // What pretraining made of the features.
            Some("head.weight" | "head.bias") => Fate::Unused,
            Some(inner) => timm(inner),
            None => head_of(name, self.has_head),
        }
    }

    fn has_head(&self) -> bool {
        self.has_head
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        let shapes = Shapes(tensors);
        let ([depth, width, patch_size, mlp], reference) = (shapes.sizes()?, shapes.grid()?);
        let pool_mlp = shapes.rows("tower.pool.mlp.fc1.weight")?;
        checked(VitConfig {
            // GenD looks at 224 pixels, whatever the encoder was pretrained with.
            image_size: hints.image_size.unwrap_or(224 / patch_size.max(1) * patch_size),
            patch_size,
            width,
            depth,
            heads: heads_of_64(width, hints),
            mlp,
            epsilon: 1e-5,
            family: VitFamily::Perception { reference, pool_heads: 8, pool_mlp },
            normalisation: HALF,
            head: head_kind(tensors).unwrap_or(hints.head),
        })
    }

    fn geometry(&self) -> CropGeometry {
        CropGeometry::Gend
    }

    fn takes_any_size(&self) -> bool {
        true
    }

    fn derived(&self, name: &str, shape: &[usize], theirs: &mut Theirs) -> Option<Result<Vec<f32>, WeightsError>> {
        resampled(name, shape, theirs, &format!("{}pos_embed", self.prefix))
    }
}

/// DINOv3, pretrained or as GenD (`yermandy/GenD_DINOv3_L`).
pub(super) struct Dino {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What stands before the encoder's names.
    pub(super) prefix: &'static str,
    /// Whether it has GenD's head.
    pub(super) has_head: bool,
}

impl Format for Dino {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn description(&self) -> &'static str {
        "a checkpoint of DINOv3"
    }

    fn mark(&self) -> &'static str {
        MARK
    }

    fn fate(&self, name: &str) -> Fate {
        match name.strip_prefix(self.prefix) {
            Some(inner) => dino(inner),
            None => head_of(name, self.has_head),
        }
    }

    fn has_head(&self) -> bool {
        self.has_head
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        let shapes = Shapes(tensors);
        let [depth, width, patch_size, mlp] = shapes.sizes()?;
        let registers = tensors.shape("tower.registers").and_then(|shape| shape.iter().rev().nth(1).copied());
        let gated = tensors.shape("tower.layers.0.mlp.gate.weight").is_some();
        checked(VitConfig {
            image_size: hints.image_size.unwrap_or(224),
            patch_size,
            width,
            depth,
            heads: heads_of_64(width, hints),
            mlp,
            epsilon: 1e-5,
            family: VitFamily::Dino { registers: registers.unwrap_or(0), gated },
            normalisation: IMAGENET_NORMALISATION,
            head: head_kind(tensors).unwrap_or(hints.head),
        })
    }

    fn geometry(&self) -> CropGeometry {
        CropGeometry::Gend
    }

    fn interpolation(&self) -> Interpolation {
        Interpolation::Bilinear
    }

    fn takes_any_size(&self) -> bool {
        true
    }
}

/// CommunityForensics' ViT-S/16 at 384 pixels (`OwensLab/commfor-model-384`), which has one logit: that of fake beside none of real.
pub(super) struct CommunityForensics;

impl Format for CommunityForensics {
    fn name(&self) -> &'static str {
        "commfor"
    }

    fn about(&self) -> &'static str {
        "CommunityForensics' ViT, e.g. OwensLab/commfor-model-384"
    }

    fn description(&self) -> &'static str {
        "a CommunityForensics checkpoint"
    }

    fn mark(&self) -> &'static str {
        MARK
    }

    fn fate(&self, name: &str) -> Fate {
        match name {
            "head.weight" | "head.bias" => Fate::Named(format!("head.layers.0.{}", &name[5..])),
            _ => timm(name),
        }
    }

    fn has_head(&self) -> bool {
        true
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        plain(tensors, hints, VitFamily::Plain, IMAGENET_NORMALISATION, None)
    }

    fn interpolation(&self) -> Interpolation {
        Interpolation::Bilinear
    }

    fn derived(&self, name: &str, shape: &[usize], theirs: &mut Theirs) -> Option<Result<Vec<f32>, WeightsError>> {
        let kind = name.strip_prefix("head.layers.0.")?;
        let half = shape.iter().product::<usize>() / 2;
        let own = match kind {
            "weight" => [1, half].to_vec(),
            _ => [1].to_vec(),
        };
        let of_fake = theirs.values(&format!("head.{kind}"), &own);
        Some(of_fake.map(|of_fake| {
            let mut both = alloc::vec![0.0; half];
            both.extend(of_fake);
            both
        }))
    }
}

/// FS-VFM's fine-tuned ViTs (`Wolowolo/fsfm-3c`), whose first class is the fake one.
pub(super) struct FsVfm;

impl Format for FsVfm {
    fn name(&self) -> &'static str {
        "fs-vfm"
    }

    fn about(&self) -> &'static str {
        "FS-VFM's fine-tuned ViT, e.g. checkpoint-min_val_loss.pth of Wolowolo/fsfm-3c"
    }

    fn description(&self) -> &'static str {
        "an FS-VFM checkpoint"
    }

    fn mark(&self) -> &'static str {
        "tower.norm.weight"
    }

    fn fate(&self, name: &str) -> Fate {
        match name {
            "head.weight" | "head.bias" => Fate::Named(format!("head.layers.0.{}", &name[5..])),
            "fc_norm.weight" | "fc_norm.bias" => Fate::Named(format!("tower.norm.{}", &name[8..])),
            "norm.weight" | "norm.bias" => Fate::Unknown,
            _ => timm(name),
        }
    }

    fn has_head(&self) -> bool {
        true
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        // Its small one has heads of 32.
        let small = |width: usize| if width == 384 { Some(12) } else { None };
        plain(tensors, hints, VitFamily::PlainMean, FACES, Some(small))
    }

    fn derived(&self, name: &str, shape: &[usize], theirs: &mut Theirs) -> Option<Result<Vec<f32>, WeightsError>> {
        let kind = name.strip_prefix("head.layers.0.")?;
        let values = theirs.values(&format!("head.{kind}"), shape);
        Some(values.map(|mut values| {
            let half = values.len() / 2;
            values.rotate_left(half);
            values
        }))
    }
}

/// A plain transformer by its shapes.
fn plain(
    tensors: &dyn TensorSource,
    hints: &Hints,
    family: VitFamily,
    normalisation: [[f32; 3]; 2],
    heads: Option<fn(usize) -> Option<usize>>,
) -> Result<Architecture, WeightsError> {
    let shapes = Shapes(tensors);
    let ([depth, width, patch_size, mlp], grid) = (shapes.sizes()?, shapes.grid()?);
    let known = hints.heads.or_else(|| heads.and_then(|heads| heads(width)));
    checked(VitConfig {
        image_size: grid * patch_size,
        patch_size,
        width,
        depth,
        heads: known.unwrap_or_else(|| heads_of_64(width, hints)),
        mlp,
        epsilon: 1e-6,
        family,
        normalisation,
        head: head_kind(tensors).unwrap_or(hints.head),
    })
}

/// The positions of another grid than the wanted one.
fn resampled(name: &str, shape: &[usize], theirs: &mut Theirs, stored: &str) -> Option<Result<Vec<f32>, WeightsError>> {
    let ("tower.position_embedding", [tokens, width]) = (name, shape) else { return None };
    let own = theirs.shape(stored)?;
    let count = own.iter().product::<usize>() / width;
    if count == *tokens {
        return None;
    }
    let (from, to) = ((count - 1).isqrt(), (tokens - 1).isqrt());
    Some(theirs.values(stored, &own).map(|values| {
        let (class, grid) = values.split_at(*width);
        let mut all = class.to_vec();
        all.extend(bicubic_antialiased(grid, *width, from, to));
        all
    }))
}

/// A tensor of one of timm's transformers.
fn timm(name: &str) -> Fate {
    const WHOLE: [(&str, &str); 3] =
        [("cls_token", "class_embedding"), ("pos_embed", "position_embedding"), ("attn_pool.latent", "pool.latent")];
    const MODULES: [(&str, &str); 8] = [
        ("patch_embed.proj", "patches"),
        ("norm_pre", "pre_norm"),
        ("norm", "norm"),
        ("attn_pool.norm", "pool.norm"),
        ("attn_pool.q", "pool.attention.query"),
        ("attn_pool.proj", "pool.attention.output"),
        ("attn_pool.mlp.fc1", "pool.mlp.fc1"),
        ("attn_pool.mlp.fc2", "pool.mlp.fc2"),
    ];
    const LAYER: [(&str, &str); 5] = [
        ("norm1", "norm1"),
        ("norm2", "norm2"),
        ("attn.proj", "attention.output"),
        ("mlp.fc1", "mlp.fc1"),
        ("mlp.fc2", "mlp.fc2"),
    ];
    let ours = |name: &str| -> Option<Fate> {
        if let Some((_, ours)) = WHOLE.iter().find(|(theirs, _)| *theirs == name) {
            return Some(Fate::Named(format!("tower.{ours}")));
        }
        let (module, kind) = name.rsplit_once('.')?;
        if !matches!(kind, "weight" | "bias") {
            return None;
        }
        if let Some((_, ours)) = MODULES.iter().find(|(theirs, _)| *theirs == module) {
            return Some(Fate::Named(format!("tower.{ours}.{kind}")));
        }
        let parts = |stem: String, parts: &[&str]| {
            Fate::Parts(parts.iter().map(|part| format!("{stem}.{part}.{kind}")).collect())
        };
        if module == "attn_pool.kv" {
            return Some(parts("tower.pool.attention".to_owned(), &["key", "value"]));
        }
        let (index, part) = module.strip_prefix("blocks.")?.split_once('.')?;
        let layer = format!("tower.layers.{}", index.parse::<usize>().ok()?);
        if part == "attn.qkv" {
            return Some(parts(format!("{layer}.attention"), &["query", "key", "value"]));
        }
        let (_, ours) = LAYER.iter().find(|(theirs, _)| *theirs == part)?;
        Some(Fate::Named(format!("{layer}.{ours}.{kind}")))
    };
    ours(name).unwrap_or(Fate::Unknown)
}

/// A tensor of transformers' DINOv3, whose layers have the name of the model before them in newer versions.
fn dino(name: &str) -> Fate {
    const WHOLE: [(&str, &str); 4] = [
        ("embeddings.cls_token", "class_embedding"),
        ("embeddings.register_tokens", "registers"),
        ("embeddings.patch_embeddings.weight", "patches.weight"),
        ("embeddings.patch_embeddings.bias", "patches.bias"),
    ];
    const LAYER: [(&str, &str); 9] = [
        ("norm1", "norm1"),
        ("norm2", "norm2"),
        ("attention.q_proj", "attention.query"),
        ("attention.k_proj", "attention.key"),
        ("attention.v_proj", "attention.value"),
        ("attention.o_proj", "attention.output"),
        ("mlp.up_proj", "mlp.fc1"),
        ("mlp.gate_proj", "mlp.gate"),
        ("mlp.down_proj", "mlp.fc2"),
    ];
    let name = name.strip_prefix("model.").unwrap_or(name);
    // It stands for hidden patches in pretraining.
    if name == "embeddings.mask_token" {
        return Fate::Unused;
    }
    let ours = |name: &str| -> Option<String> {
        if let Some((_, ours)) = WHOLE.iter().find(|(theirs, _)| *theirs == name) {
            return Some(format!("tower.{ours}"));
        }
        let (module, kind) = name.rsplit_once('.')?;
        if module == "norm" {
            return Some(format!("tower.norm.{kind}"));
        }
        let (index, part) = module.strip_prefix("layer.")?.split_once('.')?;
        let layer = format!("tower.layers.{}", index.parse::<usize>().ok()?);
        match (part, kind) {
            ("layer_scale1", "lambda1") => return Some(format!("{layer}.scale1")),
            ("layer_scale2", "lambda1") => return Some(format!("{layer}.scale2")),
            _ => {}
        }
        let (_, ours) = LAYER.iter().find(|(theirs, _)| *theirs == part)?;
        matches!(kind, "weight" | "bias").then(|| format!("{layer}.{ours}.{kind}"))
    };
    ours(name).into()
}
