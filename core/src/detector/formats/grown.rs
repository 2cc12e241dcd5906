//! A checkpoint with what the model needs beside it.

use alloc::string::String;
use alloc::vec::Vec;

use crate::detector::{Architecture, Group};
use crate::weights::{Init, Seeded, TensorSource, WeightsError};

/// A source's tensors, and those that the architecture adds to them: copies of others of the source where the model starts
/// with those ([`Sizes::starts_as`](crate::detector::Sizes::starts_as)), else fresh ones of the head and of what is new.
pub struct Grown<S> {
    source: S,
    fresh: Seeded,
    architecture: Architecture,
    made: Vec<Group>,
}

impl<S: TensorSource> Grown<S> {
    /// What `source` lacks of `architecture` is made by `seed`.
    pub fn new(source: S, architecture: Architecture, seed: u64) -> Self {
        Self { source, fresh: Seeded::new(seed), architecture, made: Vec::new() }
    }

    /// Whether tensors of this group were made rather than read.
    pub fn made(&self, group: Group) -> bool {
        self.made.contains(&group)
    }
}

impl<S: TensorSource> TensorSource for Grown<S> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        let missing = match self.source.read(name, shape, init) {
            Err(error @ WeightsError::Missing(_)) => error,
            result => return result,
        };
        let sizes = self.architecture.sizes();
        if let Some(other) = sizes.starts_as(name) {
            return self.source.read(&other, shape, init);
        }
        match sizes.group(name) {
            group @ (Group::Head | Group::New | Group::LowRank) => {
                self.made.push(group);
                self.fresh.read(name, shape, init)
            }
            Group::Norm | Group::Statistic if sizes.is_new(name) => self.fresh.read(name, shape, init),
            Group::Norm | Group::Backbone | Group::Statistic | Group::Replaced => Err(missing),
        }
    }

    /// The names of the source's tensors; the others are made on demand.
    fn names(&self) -> Vec<String> {
        self.source.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.shape(name).or_else(|| self.source.shape(&self.architecture.sizes().starts_as(name)?))
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::format;

    use burn::prelude::*;

    use super::*;
    use crate::detector::clip::{ClipConfig, HeadKind};
    use crate::detector::stan::StanConfig;
    use crate::detector::{Model, for_each_parameter};

    /// Seeded tensors of whatever has a name that begins so.
    struct Only(&'static str);

    impl TensorSource for Only {
        fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
            match name.starts_with(self.0) {
                true => Seeded::new(1).read(name, shape, init),
                false => Err(WeightsError::Missing(name.into())),
            }
        }

        fn names(&self) -> Vec<String> {
            Vec::new()
        }

        fn shape(&self, _: &str) -> Option<Vec<usize>> {
            None
        }
    }

    #[test]
    fn a_branch_starts_from_the_layers_beside_it_and_mixes_no_frames() {
        let head = HeadKind::OneLayer;
        let clip = ClipConfig {
            image_size: 16,
            patch_size: 8,
            width: 8,
            depth: 3,
            heads: 2,
            mlp: 16,
            ..ClipConfig::vit_b_16(head)
        };
        let architecture = Architecture::Stan(StanConfig { branch_depth: 2, clip_length: 3, ..StanConfig::new(clip) });
        let mut source = Grown::new(Only("tower."), architecture.clone(), 2);
        let model = Model::load(&architecture, &mut source, &Device::flex()).expect("loads");
        assert!(source.made(Group::Head) && source.made(Group::New));
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

    #[test]
    fn a_backbone_that_is_not_there_is_not_made_up() {
        let head = HeadKind::OneLayer;
        let clip = ClipConfig {
            image_size: 16,
            patch_size: 8,
            width: 8,
            depth: 1,
            heads: 2,
            mlp: 16,
            ..ClipConfig::vit_b_16(head)
        };
        let architecture = Architecture::Clip(clip);
        let mut source = Grown::new(Only("head."), architecture.clone(), 2);
        let found = Model::load(&architecture, &mut source, &Device::flex());
        assert!(matches!(found, Err(WeightsError::Missing(name)) if name.starts_with("tower.")));
    }
}
