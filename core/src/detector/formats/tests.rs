//! Names, sizes and heads of checkpoints, without their weights.

use super::clip::{GEND, HF_CLIP, THESIS, published_heads};
use super::efficientnet::Lite;
use super::*;
use crate::detector::clip::ClipConfig;

const LITE0: Lite = Lite { number: 0, name: "efficientnet-lite0" };

fn named(format: &dyn Format, name: &str) -> Option<String> {
    match format.fate(name) {
        Fate::Named(ours) => Some(ours),
        _ => None,
    }
}

#[test]
fn the_tuned_layer_norm_of_a_thesis_checkpoint_wins_over_the_base() {
    let prefix = "feature_extractor.base_model.model.vision_model.encoder.layers.3.layer_norm1";
    let tuned = named(&THESIS, &format!("{prefix}.ln_tuning_layers.default.weight"));
    assert_eq!(tuned.as_deref(), Some("tower.layers.3.norm1.weight"));
    assert_eq!(named(&THESIS, &format!("{prefix}.base_layer.weight")), None);
}

#[test]
fn each_kind_maps_its_own_names() {
    let q = "encoder.layers.0.self_attn.q_proj.weight";
    let ours = Some("tower.layers.0.attention.query.weight".to_string());
    assert_eq!(named(&HF_CLIP, &format!("vision_model.{q}")), ours);
    assert_eq!(named(&GEND, &format!("feature_extractor.vision_model.{q}")), ours);
    assert_eq!(named(&GEND, "model.linear.bias").as_deref(), Some("head.layers.0.bias"));
    assert_eq!(named(&THESIS, "model.mlp.2.weight").as_deref(), Some("head.layers.1.weight"));
}

#[test]
fn an_efficientnet_keeps_its_convolutions_and_norms_and_loses_its_classifier() {
    let ours = |name: &str| named(&LITE0, name);
    assert_eq!(ours("_conv_stem.weight").as_deref(), Some("trunk.stem.weight"));
    assert_eq!(ours("_bn1.running_var").as_deref(), Some("trunk.last.norm.running_var"));
    assert_eq!(ours("_blocks.12._bn1.bias").as_deref(), Some("trunk.blocks.12.depthwise.norm.bias"));
    assert_eq!(ours("_blocks.3._project_conv.weight").as_deref(), Some("trunk.blocks.3.project.weight"));
    for name in ["_fc.weight", "_bn0.num_batches_tracked", "_blocks.x._bn0.bias", "_blocks.1._se_reduce.weight"] {
        assert_eq!(ours(name), None, "{name}");
    }
    let squeezed = ["_conv_stem.weight", "_blocks.1._se_reduce.weight"].map(ToString::to_string);
    assert!(matches!(rename(&LITE0, &squeezed), Err(WeightsError::Extra(_))));
}

#[test]
fn the_prefix_of_a_network_is_told_from_its_own_first_names() {
    let wrapped = [
        "state_dict.module.feature_extractor.vision_model.embeddings.class_embedding",
        "state_dict.module.model.linear.bias",
    ];
    let renamed = rename(&GEND, &wrapped.map(ToString::to_string)).expect("GenD's");
    assert_eq!(renamed.keys().collect::<Vec<_>>(), ["head.layers.0.bias", "tower.class_embedding"]);
    assert_eq!(renamed["tower.class_embedding"], wrapped[0]);
    // GenD's is a CLIP tower with something beside it, which a checkpoint of transformers has not.
    let plain = wrapped.map(|name| name.trim_start_matches("state_dict.module.").to_string());
    assert!(matches!(rename(&HF_CLIP, &plain), Err(WeightsError::WrongKind { .. })));
}

#[test]
fn an_unknown_tensor_and_a_foreign_checkpoint_are_refused() {
    let foreign = rename(&HF_CLIP, &["conv1.weight".to_string()]);
    assert!(matches!(foreign, Err(WeightsError::WrongKind { .. })));
    let names = ["vision_model.embeddings.class_embedding", "vision_model.surprise"].map(ToString::to_string);
    assert!(matches!(rename(&HF_CLIP, &names), Err(WeightsError::Extra(name)) if name.contains("surprise")));
}

/// The names in the file by our names of a checkpoint with tensors of these names.
fn rename(format: &'static dyn Format, names: &[String]) -> Result<BTreeMap<String, String>, WeightsError> {
    let shapes = Shapes(names.iter().map(|name| (name.clone(), Vec::new())).collect());
    let checkpoint = Checkpoint::new(shapes, format)?;
    Ok(checkpoint.renamed().map(|(ours, theirs, _)| (ours.to_owned(), theirs.to_owned())).collect())
}

/// A checkpoint of which only names and shapes are known.
struct Shapes(BTreeMap<String, Vec<usize>>);

impl TensorSource for Shapes {
    fn read(&mut self, name: &str, _: &[usize], _: Init) -> Result<Vec<f32>, WeightsError> {
        Err(WeightsError::Missing(name.to_owned()))
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).cloned()
    }
}

/// The vision tower of transformers' `CLIPModel` in these sizes.
fn hf_tower([width, depth, patch, mlp]: [usize; 4], image: usize) -> Shapes {
    let tokens = (image / patch) * (image / patch) + 1;
    let mut shapes = BTreeMap::from([
        ("embeddings.class_embedding".to_owned(), [width].to_vec()),
        ("embeddings.patch_embedding.weight".to_owned(), [width, 3, patch, patch].to_vec()),
        ("embeddings.position_embedding.weight".to_owned(), [tokens, width].to_vec()),
    ]);
    let mut module = |name: String, shape: &[usize]| {
        shapes.insert(format!("{name}.weight"), shape.to_vec());
        shapes.insert(format!("{name}.bias"), shape[..1].to_vec());
    };
    module("pre_layrnorm".to_owned(), &[width]);
    module("post_layernorm".to_owned(), &[width]);
    for layer in 0..depth {
        let within = |name: &str| format!("encoder.layers.{layer}.{name}");
        for name in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"] {
            module(within(name), &[width, width]);
        }
        module(within("layer_norm1"), &[width]);
        module(within("layer_norm2"), &[width]);
        module(within("mlp.fc1"), &[mlp, width]);
        module(within("mlp.fc2"), &[width, mlp]);
    }
    Shapes(shapes.into_iter().map(|(name, shape)| (format!("vision_model.{name}"), shape)).collect())
}

#[test]
fn a_checkpoint_of_a_published_size_has_its_published_heads_without_a_config_and_without_being_told() {
    let head = HeadKind::OneLayer;
    let of = |sizes: [usize; 4], image: usize| {
        let checkpoint = Checkpoint::new(hf_tower(sizes, image), &HF_CLIP).expect("a CLIP tower");
        HF_CLIP.architecture(&checkpoint, &Hints { head, ..Hints::default() })
    };
    let large = ClipConfig::vit_l_14(head);
    // Heads as in table 20 of Radford et al. (2021).
    for (sizes, image, config, heads) in [
        ([768, 12, 32, 3072], 224, ClipConfig::vit_b_32(head), 12),
        ([768, 12, 16, 3072], 224, ClipConfig::vit_b_16(head), 12),
        ([1024, 24, 14, 4096], 224, large.clone(), 16),
        ([1024, 24, 14, 4096], 336, ClipConfig { image_size: 336, ..large.clone() }, 16),
    ] {
        let Architecture::Clip(found) = of(sizes, image).expect("its sizes") else { panic!("a CLIP") };
        assert_eq!((&found, found.heads), (&config, heads), "{sizes:?} at {image}");
    }
    let unknown = of([768, 11, 16, 3072], 224);
    assert!(matches!(unknown, Err(WeightsError::HeadsUnknown { width: 768, depth: 11, patch: 16 })), "{unknown:?}");
}

#[test]
fn only_published_sizes_tell_their_heads_and_a_config_must_be_of_the_same_network() {
    assert_eq!(published_heads(1024, 24, 14), Some(16));
    // Widths that are multiples of 64, in towers nobody published or whose heads are of 80.
    for (width, depth, patch) in [(768, 6, 16), (512, 12, 16), (1280, 32, 14)] {
        assert_eq!(published_heads(width, depth, patch), None);
    }
    let config = HfConfig { hidden_size: Some(768), num_attention_heads: Some(12), ..Default::default() };
    assert!(config.check(768, 12, 16, Some(12)).is_ok() && config.check(768, 12, 16, None).is_ok());
    for (width, heads) in [(1024, None), (768, Some(6))] {
        assert!(matches!(config.check(width, 12, 16, heads), Err(WeightsError::OtherConfig { .. })));
    }
}

#[test]
fn heads_are_read_from_either_kind_of_config() {
    let vision = r#"{"num_attention_heads": 16, "hidden_size": 1024, "hidden_act": "quick_gelu"}"#;
    let whole = format!(r#"{{"vision_config": {vision}, "text_config": {{}}}}"#);
    assert_eq!(HfConfig::from_json(vision).expect("parses").num_attention_heads, Some(16));
    assert_eq!(HfConfig::from_json(&whole).expect("parses").num_attention_heads, Some(16));
    let accepted = |text: &str| GEND.accepts(&HfConfig::from_json(text).expect("parses")).is_ok();
    assert!(!accepted(r#"{"vision_config": {"hidden_act": "gelu"}}"#));
    assert!(accepted(r#"{"backbone": "openai/clip", "head": "LinearNorm"}"#));
    assert!(!accepted(r#"{"backbone": "openai/clip", "head": "linear"}"#));
}
