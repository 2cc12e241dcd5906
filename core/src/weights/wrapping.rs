//! What programs put around the names of a network's tensors: found by what the names end in, whatever it is called.
//!
//! `state_dict.model.vision_model.…` of a training checkpoint, `module.vision_model.…` of a data-parallel one and
//! `_orig_mod.vision_model.…` of a compiled one are all the same network. Two of them in one file are two networks, between
//! which nobody but the user can choose.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::WeightsError;

/// Parts of names that stand for a wrapper around a module, wherever it is: `DataParallel` and `DistributedDataParallel`,
/// `torch.compile`, fully sharded data parallel, activation checkpointing, and Lightning's DeepSpeed strategy.
const TRANSPARENT: [&str; 5] =
    ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"];

/// What a training module holds beside its network, such as the weights of classes in its loss.
const BESIDE: [&str; 5] = ["criterion", "loss", "loss_fn", "loss_func", "loss_function"];

/// A tensor of the network: its name without what is around it, and as it stands in the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Unwrapped<'a> {
    /// Without what is around the network.
    pub inner: String,
    /// As in the file.
    pub whole: &'a str,
}

/// The tensors of the one network in `names`, which `is_mark` knows by the inner name of a tensor that every such network
/// has; of names without such a tensor, all as they stand.
///
/// # Errors
/// [`WeightsError::SeveralNetworks`], or [`WeightsError::Extra`] for a tensor that is outside of what is around the network.
pub fn unwrap<'a>(names: &'a [String], is_mark: impl Fn(&str) -> bool) -> Result<Vec<Unwrapped<'a>>, WeightsError> {
    let around = around(names, is_mark);
    let mut found = Vec::with_capacity(names.len());
    let prefix = match around.len() {
        0 => "",
        1 => around.first().map_or("", String::as_str),
        _ => return Err(WeightsError::SeveralNetworks(shown(&around))),
    };
    for whole in names {
        let plain = without_wrappers(whole);
        match plain.strip_prefix(prefix) {
            Some(inner) => found.push(Unwrapped { inner: inner.to_owned(), whole }),
            None if BESIDE.contains(&plain.split('.').next().unwrap_or_default()) => {}
            None => return Err(WeightsError::Extra(whole.clone())),
        }
    }
    Ok(found)
}

/// Whether a network that `is_mark` knows is among `names`, whatever is around it.
pub fn holds(names: &[String], is_mark: impl Fn(&str) -> bool) -> bool {
    !around(names, is_mark).is_empty()
}

/// What stands before the inner names of each network; for one by itself it is empty.
fn around(names: &[String], is_mark: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let before = |name: &String| {
        let plain = without_wrappers(name);
        let starts = core::iter::once(0).chain(plain.match_indices('.').map(|(dot, _)| dot + 1));
        starts.into_iter().find(|start| is_mark(&plain[*start..])).map(|start| plain[..start].to_owned())
    };
    names.iter().filter_map(before).collect()
}

/// A name without the parts that stand for wrappers.
fn without_wrappers(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').filter(|part| !TRANSPARENT.contains(part)).collect();
    parts.join(".")
}

/// Prefixes for people.
fn shown(prefixes: &BTreeSet<String>) -> String {
    let names: Vec<&str> = prefixes.iter().map(|prefix| prefix.trim_end_matches('.')).collect();
    let named = |name: &&str| if name.is_empty() { "one without a key" } else { *name }.to_owned();
    names.iter().map(named).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn inner(given: &[&str]) -> Result<Vec<String>, WeightsError> {
        let names = names(given);
        Ok(unwrap(&names, |name| name == "net.a")?.into_iter().map(|tensor| tensor.inner).collect())
    }

    #[test]
    fn a_network_is_found_beneath_anything_around_it() {
        for around in
            ["", "module.", "state_dict.", "model.", "state_dict.model.module.", "x.y.z.", "_orig_mod.module."]
        {
            let given = ["net.a", "net.b.c"].map(|name| alloc::format!("{around}{name}"));
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            assert_eq!(inner(&given).expect(around), ["net.a", "net.b.c"], "{around}");
        }
        assert_eq!(inner(&["net.module.a", "net._orig_mod.b"]).expect("in the middle"), ["net.a", "net.b"]);
    }

    #[test]
    fn two_networks_are_named_and_neither_is_taken() {
        let error = inner(&["ema.net.a", "model.net.a", "model.net.b"]).expect_err("two").to_string();
        assert!(error.contains("ema, model") && error.contains("--key"), "{error}");
    }

    #[test]
    fn a_loss_beside_the_network_is_left_out_and_anything_else_is_refused() {
        assert_eq!(inner(&["model.net.a", "criterion.weight"]).expect("a loss"), ["net.a"]);
        assert!(
            matches!(inner(&["model.net.a", "other.weight"]), Err(WeightsError::Extra(name)) if name == "other.weight")
        );
    }

    #[test]
    fn names_without_the_network_stay_as_they_are() {
        assert_eq!(inner(&["conv.weight", "model.bias"]).expect("no network"), ["conv.weight", "model.bias"]);
        assert!(!holds(&names(&["conv.weight"]), |name| name == "net.a"));
        assert!(holds(&names(&["x.module.net.a"]), |name| name == "net.a"));
    }
}
