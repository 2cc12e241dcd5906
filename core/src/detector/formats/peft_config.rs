//! What `adapter_config.json` of a PEFT adapter says.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;
use serde_json::Value;

use crate::weights::WeightsError;

/// The description of low-rank updates.
#[derive(Clone, Debug, Deserialize)]
pub struct PeftConfig {
    r: usize,
    lora_alpha: f32,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    rank_pattern: Option<BTreeMap<String, usize>>,
    #[serde(default)]
    alpha_pattern: Option<BTreeMap<String, f32>>,
    #[serde(default)]
    target_modules: Option<Targets>,
    #[serde(default)]
    modules_to_save: Option<Vec<String>>,
    #[serde(default)]
    auto_mapping: Option<Mapping>,
    #[serde(default)]
    task_type: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// The layers that have updates.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Targets {
    /// What their names end in.
    Ends(Vec<String>),
    /// A pattern, or `all-linear`.
    Pattern(String),
}

/// The class that was adapted.
#[derive(Clone, Debug, Deserialize)]
struct Mapping {
    #[serde(default)]
    base_model_class: String,
    #[serde(default)]
    parent_library: String,
}

/// Keys that change nothing of what is merged: where the adapter comes from, what only training needs, and which layers were
/// chosen, which the tensors show as well.
const WITHOUT_EFFECT: [&str; 17] = [
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
];

/// Keys by which an adapter is more than products beside weights that stay as they were, and what it has then.
const OTHERS: [(&str, &str); 6] = [
    ("use_dora", "weights of DoRA"),
    ("use_qalora", "updates of QALoRA"),
    ("fan_in_fan_out", "transposed weights, as no checkpoint that is read here has them"),
    ("lora_bias", "biases of its own"),
    ("layer_replication", "layers that stand more than once"),
    ("target_parameters", "updates of single parameters"),
];

/// Ways of starting an update that change the weight beside it.
const CHANGED_STARTS: [&str; 5] = ["pissa", "olora", "loftq", "corda", "lora_ga"];

impl PeftConfig {
    /// Parses `adapter_config.json`, and checks that all it says is understood.
    ///
    /// # Errors
    /// [`WeightsError::Peft`].
    pub fn from_json(text: &str) -> Result<Self, WeightsError> {
        let of_kind = |value: &Value| value.get("peft_type").and_then(Value::as_str).map(ToString::to_string);
        let document: Value = serde_json::from_str(text).map_err(|error| WeightsError::Peft(error.to_string()))?;
        // Those of other types have other keys.
        match of_kind(&document).as_deref() {
            Some("LORA") => {}
            Some(other) => return Err(WeightsError::Peft(format!("its `peft_type` is {other}, not LORA"))),
            None => return Err(WeightsError::Peft("it has no `peft_type`".to_string())),
        }
        let config: Self = serde_json::from_value(document).map_err(|error| WeightsError::Peft(error.to_string()))?;
        config.check().map_err(WeightsError::Peft)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.r == 0 || !self.lora_alpha.is_finite() {
            return Err(format!("its rank is {} and its `lora_alpha` {}", self.r, self.lora_alpha));
        }
        let set = || self.others.iter().filter(|(_, value)| is_set(value));
        if let Some((key, what)) = OTHERS.iter().find(|(key, _)| set().any(|(found, _)| found == key)) {
            return Err(format!("by `{key}` it has {what}"));
        }
        match self.others.get("bias") {
            None | Some(Value::Null) => {}
            Some(Value::String(bias)) if bias == "none" => {}
            Some(bias) => return Err(format!("by `bias` = {bias} it has trained biases")),
        }
        if let Some(Value::String(start)) = self.others.get("init_lora_weights")
            && CHANGED_STARTS.iter().any(|changed| start.starts_with(changed))
        {
            return Err(format!("it was started by {start}, which changed the weights beside it"));
        }
        let known = |key: &str| WITHOUT_EFFECT.contains(&key) || matches!(key, "bias" | "peft_type");
        match set().find(|(key, _)| !known(key)) {
            Some((key, value)) => Err(format!("its `{key}` = {value} is not understood")),
            None => Ok(()),
        }
    }

    /// What multiplies the product of the thin matrices of `layer`, whose rank in the adapter's file is `rank`.
    pub(super) fn scale(&self, layer: &str, rank: usize) -> Result<f32, String> {
        let said = of_layer("rank_pattern", self.rank_pattern.as_ref(), layer)?.unwrap_or(self.r);
        if said != rank || rank == 0 {
            return Err(format!("the matrices of `{layer}` are of rank {rank} where its configuration says {said}"));
        }
        let alpha = of_layer("alpha_pattern", self.alpha_pattern.as_ref(), layer)?.unwrap_or(self.lora_alpha);
        let rank = rank as f32;
        Ok(alpha / if self.use_rslora { libm::sqrtf(rank) } else { rank })
    }

    /// Refuses an update of a layer that is no target.
    pub(super) fn check_target(&self, layer: &str) -> Result<(), String> {
        match &self.target_modules {
            Some(Targets::Ends(ends)) if !ends.iter().any(|end| ends_in(layer, end)) => {
                Err(format!("it changes `{layer}`, which is none of its `target_modules`"))
            }
            Some(Targets::Pattern(pattern)) if pattern.is_empty() => Err("its `target_modules` are empty".to_string()),
            _ => Ok(()),
        }
    }

    /// Whether the tensor `name` belongs to a module that was trained whole.
    pub(super) fn saves(&self, name: &str) -> bool {
        let mut modules = self.modules_to_save.iter().flatten();
        let within = |module: &str| name.match_indices('.').any(|(dot, _)| ends_in(&name[..dot], module));
        modules.any(|module| within(module))
    }

    /// Refuses a head of a class that reads its features in another way than a detector here does, or may: PEFT names the class
    /// only where it was given no task.
    pub(super) fn check_head(&self) -> Result<(), String> {
        if let Some(task) = &self.task_type {
            return Err(format!(
                "its head was trained for the task {task}, which leaves open what it reads and which class comes first"
            ));
        }
        match &self.auto_mapping {
            Some(Mapping { base_model_class, parent_library })
                if ["transformers", "timm"].iter().any(|library| parent_library.starts_with(library)) =>
            {
                Err(format!(
                    "its head was trained in {base_model_class}, which reads features in another way than detectors here"
                ))
            }
            _ => Ok(()),
        }
    }
}

/// What a pattern says of `layer`, whose keys are ends of names; patterns of other kinds are not understood.
fn of_layer<T: Copy + PartialEq>(
    key: &str,
    pattern: Option<&BTreeMap<String, T>>,
    layer: &str,
) -> Result<Option<T>, String> {
    let is_plain = |end: &str| end.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter));
    let entries = || pattern.into_iter().flatten();
    if let Some((end, _)) = entries().find(|(end, _)| !is_plain(end)) {
        return Err(format!("its `{key}` has the pattern `{end}`, and only ends of names are understood"));
    }
    let mut found = entries().filter(|(end, _)| ends_in(layer, end)).map(|(_, value)| *value);
    let first = found.next();
    match found.all(|value| Some(value) == first) {
        true => Ok(first),
        // The order in which the training took them is not in the file.
        false => Err(format!("its `{key}` says several things of `{layer}`")),
    }
}

/// Whether the last parts of a name are those of `end`.
fn ends_in(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether a key says something: neither null, nor false, nor empty.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(entries) => !entries.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration with these keys more.
    fn config(more: &str) -> Result<PeftConfig, String> {
        let text = format!(r#"{{"peft_type": "LORA", "r": 4, "lora_alpha": 6, "bias": "none"{more}}}"#);
        PeftConfig::from_json(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_no_plain_update_is_refused_by_its_key() {
        assert!(config("").is_ok());
        assert!(config(r#", "use_dora": false, "loftq_config": {}, "velora_config": null"#).is_ok());
        for (more, word) in [
            (r#", "use_dora": true"#, "DoRA"),
            (r#", "fan_in_fan_out": true"#, "fan_in_fan_out"),
            (r#", "lora_bias": true"#, "lora_bias"),
            (r#", "init_lora_weights": "pissa_niter_4""#, "pissa"),
            (r#", "kasa_config": {"a": 1}"#, "kasa_config"),
            (r#", "trainable_token_indices": [1]"#, "trainable_token_indices"),
        ] {
            let refusal = config(more).expect_err(more);
            assert!(refusal.contains(word) && refusal.contains("merge_and_unload"), "{refusal}");
        }
        for (text, word) in [
            (r#"{"peft_type": "IA3", "feedforward_modules": []}"#, "IA3"),
            (r#"{"r": 4}"#, "peft_type"),
            (r#"{"peft_type": "LORA", "r": 4, "lora_alpha": 6, "bias": "all"}"#, "bias"),
            (r#"{"peft_type": "LORA", "r": 0, "lora_alpha": 6}"#, "rank"),
            ("[]", "peft_type"),
            ("{", ""),
        ] {
            let refusal = PeftConfig::from_json(text).expect_err(text).to_string();
            assert!(refusal.contains(word), "{refusal}");
        }
    }

    #[test]
    fn a_factor_is_alpha_over_the_rank_or_its_root_with_what_patterns_say_of_the_layer() {
        let plain = config("").expect("read");
        assert_eq!(plain.scale("a.query", 4), Ok(1.5));
        assert!(plain.scale("a.query", 3).is_err_and(|refusal| refusal.contains("rank 3")));
        let more = r#", "use_rslora": true, "rank_pattern": {"query": 1}, "alpha_pattern": {"b.query": 5}"#;
        let more = config(more).expect("read");
        assert_eq!(more.scale("a.query", 1), Ok(6.0));
        assert_eq!(more.scale("b.query", 1), Ok(5.0));
        assert_eq!(more.scale("b.other_query", 4), Ok(3.0), "only whole parts of a name count");
        let unclear = config(r#", "alpha_pattern": {"query": 1, "b.query": 5}"#).expect("read");
        assert!(unclear.scale("b.query", 4).is_err_and(|refusal| refusal.contains("several")));
        let pattern = config(r#", "alpha_pattern": {"layers.[01].query": 1}"#).expect("read");
        assert!(pattern.scale("b.query", 4).is_err_and(|refusal| refusal.contains("ends of names")));
    }
}
