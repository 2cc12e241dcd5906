//! A CLIP detector that a spatial-temporal branch is put beside.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Init, Seeded, TensorSource, WeightsError};
use crate::detector::stan::StanConfig;

/// The tensors that a STAN detector starts from. Tower and head are those of a CLIP detector; a spatial layer of the branch
/// is a copy of the tower's layer beside it; temporal layers and time embeddings are fresh, and of these the last linear
/// layers are zero, so that frames are not mixed before training.
pub struct Branched<S> {
    clip: S,
    fresh: Seeded,
    config: StanConfig,
}

impl<S: TensorSource> Branched<S> {
    /// A branch as `config` says beside the tower of `clip`, the tensors of a CLIP detector.
    pub fn new(clip: S, config: StanConfig, seed: u64) -> Self {
        Self { clip, fresh: Seeded::new(seed), config }
    }

    /// The tower's tensor that a tensor of a spatial layer starts from.
    fn beside(&self, name: &str) -> Option<String> {
        let (index, rest) = name.strip_prefix("branch.layers.")?.split_once(".spatial.")?;
        Some(format!("tower.layers.{}.{rest}", self.config.layer_beside(index.parse().ok()?)))
    }
}

impl<S: TensorSource> TensorSource for Branched<S> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        if let Some(beside) = self.beside(name) {
            return self.clip.read(&beside, shape, init);
        }
        if name.starts_with("branch.") {
            return self.fresh.read(name, shape, init);
        }
        self.clip.read(name, shape, init)
    }

    /// The names of the CLIP detector's tensors; the branch's are made on demand.
    fn names(&self) -> Vec<String> {
        self.clip.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.clip.shape(self.beside(name).as_deref().unwrap_or(name))
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use burn::prelude::*;

    use super::*;
    use crate::detector::clip::{ClipConfig, HeadKind};
    use crate::detector::{Model, for_each_parameter};
    use crate::weights::spec::Architecture;

    #[test]
    fn a_branch_starts_from_the_layers_beside_it_and_mixes_no_frames() {
        let head = HeadKind::OneLayer;
        let clip = ClipConfig { image_size: 16, patch_size: 8, width: 8, depth: 3, heads: 2, mlp: 16, head };
        let config = StanConfig { branch_depth: 2, clip_length: 3, ..StanConfig::new(clip) };
        let mut source = Branched::new(Seeded::new(1), config.clone(), 2);
        let model = Model::load(&Architecture::Stan(config), &mut source, &Device::flex()).expect("loads");
        let mut tensors: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for_each_parameter(&model, &mut |name, _, values| {
            tensors.insert(name, values().try_into_vec().expect("f32"));
        });
        for name in ["norm1.weight", "attention.query.weight", "mlp.fc2.bias", "mlp.fc1.weight"] {
            for index in 0..2 {
                let (branch, tower) =
                    (format!("branch.layers.{index}.spatial.{name}"), format!("tower.layers.{}.{name}", index + 1));
                assert_eq!(tensors[&branch], tensors[&tower], "{branch} is not {tower}");
            }
        }
        assert!(tensors["branch.layers.0.temporal.fc.weight"].iter().all(|value| *value == 0.0));
        assert!(tensors["branch.layers.1.temporal.attention.query.weight"].iter().any(|value| *value != 0.0));
        assert!(tensors["branch.time_embedding"].iter().any(|value| *value != 0.0));
        assert_eq!(tensors["head.layers.0.weight"].len(), 16);
    }
}
