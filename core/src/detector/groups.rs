//! What a model's tensors are, and which of them a training strategy changes.

/// What a tensor of a model is: strategies are sets of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Of the head that makes logits of features.
    Head,
    /// Of a layer norm or a batch norm.
    Norm,
    /// Added to what pretrained weights cover.
    New,
    /// Of a low-rank update of a weight.
    LowRank,
    /// The part of a weight that a low-rank update takes the place of; it stays as it is.
    Replaced,
    /// What else there is.
    Backbone,
    /// A statistic of a batch norm: part of the model, but no parameter.
    Statistic,
}

impl Group {
    /// The group of a tensor by the names that all models share: `head.…`, `….norm….weight`, `….low_rank.…` and
    /// `….running_mean`.
    pub fn by_name(tensor: &str) -> Self {
        match () {
            () if is_statistic(tensor) => Self::Statistic,
            () if tensor.starts_with("head.") => Self::Head,
            () if tensor.contains(".low_rank.residual.replaced_") => Self::Replaced,
            () if tensor.contains(".low_rank.") => Self::LowRank,
            () if is_norm(tensor) => Self::Norm,
            () => Self::Backbone,
        }
    }
}

/// Whether `tensor` is a statistic of a batch norm: part of the model, but no parameter.
pub fn is_statistic(tensor: &str) -> bool {
    matches!(tensor.rsplit('.').next(), Some("running_mean" | "running_var"))
}

/// Whether `tensor` belongs to a layer norm or a batch norm.
pub fn is_norm(tensor: &str) -> bool {
    tensor.rsplit('.').nth(1).is_some_and(|module| module.contains("norm"))
}

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Every norm's weight and bias, and the head (Basu et al., "Strong Baselines for Parameter-Efficient
    /// Few-Shot Fine-Tuning", 2024, as used for deepfakes by the thesis and GenD): LayerNorms in a transformer, batch
    /// norms in a convolutional network.
    LayerNorm,
    /// Those of [`Strategy::LayerNorm`] with what the model adds to pretrained weights, such as the temporal layers and time
    /// embeddings of a STAN branch. For a model that adds nothing the same as that.
    Stan,
    /// The head, what the model adds to pretrained weights, and low-rank updates of weights (Hu et al., "LoRA", 2022), also
    /// those that take the place of a part of the weight (Yan et al., "Effort", 2025).
    LowRank,
    /// The head alone.
    Head,
    /// Everything but the statistics of batch norms, which no strategy changes.
    Full,
}

impl Strategy {
    /// Whether it trains tensors of this group.
    pub fn trains(self, group: Group) -> bool {
        let trained: &[Group] = match self {
            Self::Head => &[Group::Head],
            Self::LayerNorm => &[Group::Head, Group::Norm],
            Self::Stan => &[Group::Head, Group::Norm, Group::New],
            Self::LowRank => &[Group::Head, Group::New, Group::LowRank],
            Self::Full => &[Group::Head, Group::Norm, Group::New, Group::LowRank, Group::Backbone],
        };
        trained.contains(&group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_tensor_is() {
        for (name, group) in [
            ("head.layers.0.weight", Group::Head),
            ("tower.layers.3.norm1.bias", Group::Norm),
            ("trunk.blocks.2.expand.norm.running_var", Group::Statistic),
            ("tower.layers.3.attention.query.low_rank.up", Group::LowRank),
            ("tower.layers.3.attention.query.low_rank.residual.values", Group::LowRank),
            ("tower.layers.3.attention.query.low_rank.residual.replaced_up", Group::Replaced),
            ("tower.layers.3.attention.query.weight", Group::Backbone),
            ("tower.class_embedding", Group::Backbone),
        ] {
            assert_eq!(Group::by_name(name), group, "{name}");
        }
    }

    #[test]
    fn no_strategy_changes_statistics_and_all_train_the_head() {
        for strategy in [Strategy::LayerNorm, Strategy::Stan, Strategy::LowRank, Strategy::Head, Strategy::Full] {
            assert!(strategy.trains(Group::Head) && !strategy.trains(Group::Statistic), "{strategy:?}");
            assert!(!strategy.trains(Group::Replaced), "{strategy:?}");
        }
        assert!(!Strategy::LowRank.trains(Group::Norm) && !Strategy::LayerNorm.trains(Group::New));
    }
}
