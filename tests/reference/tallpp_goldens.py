"""Makes tallpp_tiny.safetensors and tallpp_reference.safetensors: TALL with a graph reasoning block and the
consistency of its frames.

Needs the goldens of tall_goldens.py: the Swin transformer is that of tall_tiny, the clips and labels are those of
tall_reference. The authors published no code of TALL++ (Xu et al., IJCV 2024). The block is that of GloRe,
facebookresearch/GloRe, `network/global_reasoning_unit.py` (Chen et al., CVPR 2019) with `normalize`, between the blocks
of the third stage and the merging after them; its names are GloRe's, under `model.grb.`. The consistency is one minus
the cosine between the means of the block's map over the quadrants of two frames. The reference holds
    features, logits            and `loss`, their mean cross-entropy
    embeddings                  [2,4,16], the means over each frame's quadrant
    consistency                 [1], the mean over clips and the three pairs of frames that follow one another
    consistency_all_pairs       [1], over all six pairs
    total_loss                  [1], loss + WEIGHT consistency, and `gradient.model.NAME` of its GRADIENTS
    zero.{features,logits}      with the block's last norm at zero, as training starts: TALL's own answers
with batch norms in inference mode and without dropout.
"""

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from common import output_argument
from tall_goldens import ROWS, WIDTH, WINDOWS, Tall, check_that_all_counts, plain, randomise, swin, whole_network

SEED = 20273
WEIGHT = 0.5
NODES = WIDTH  # a quarter of the third stage's channels, which is GloRe's ratio
PAIRS = [(0, 1), (1, 2), (2, 3)]
ALL_PAIRS = [(i, j) for j in range(4) for i in range(j)]
GRADIENTS = ["patch_embed.proj.weight", "frame_pos_embed", "layers.2.blocks.1.mlp.fc2.weight", "grb.conv_state.weight"]
GRADIENTS += ["grb.conv_proj.weight", "grb.gcn.conv1.weight", "grb.gcn.conv2.weight", "grb.conv_extend.weight"]
GRADIENTS += ["grb.blocker.weight", "layers.3.blocks.0.attn.qkv.weight", "head.weight"]


class Graph(nn.Module):
    """Mixes nodes along learned edges, then the state of each."""

    def __init__(self, states, nodes):
        super().__init__()
        self.conv1 = nn.Conv1d(nodes, nodes, 1)
        self.conv2 = nn.Conv1d(states, states, 1, bias=False)

    def forward(self, x):
        """x [b,states,nodes]."""
        return self.conv2(functional.relu(x + self.conv1(x.mT).mT))


class GraphReasoning(nn.Module):
    """Gathers a map into nodes of twice as many states as there are nodes, mixes them, and adds them to the map."""

    def __init__(self, width, nodes):
        super().__init__()
        self.conv_state = nn.Conv2d(width, 2 * nodes, 1)
        self.conv_proj = nn.Conv2d(width, nodes, 1)
        self.gcn = Graph(2 * nodes, nodes)
        self.conv_extend = nn.Conv2d(2 * nodes, width, 1, bias=False)
        self.blocker = nn.BatchNorm2d(width, eps=1e-4)

    def forward(self, x):
        """x [b,d,h,w]."""
        states, shares = self.conv_state(x).flatten(2), self.conv_proj(x).flatten(2)
        mixed = self.gcn(states @ shares.mT / states.shape[2]) @ shares
        return x + self.blocker(self.conv_extend(mixed.unflatten(2, x.shape[2:])))


class TallPlus(nn.Module):
    """TALL with the block after the third stage."""

    def __init__(self, tall, width, nodes):
        super().__init__()
        self.tall = tall
        self.grb = GraphReasoning(width, nodes)

    def forward(self, clips):
        """Features [b,d], logits [b,2] and the embeddings [b,4,d/2] of the frames."""
        network = self.tall.swin
        x = network.layers[:3](self.tall.tokens(clips)).permute(0, 3, 1, 2)  # timm's stages merge first
        x = self.grb(x)
        embeddings = functional.adaptive_avg_pool2d(x, ROWS).flatten(2).mT
        features = network.norm(network.layers[3](x.permute(0, 2, 3, 1))).mean(dim=(1, 2))
        return features, network.head.fc(features), embeddings

    def published(self):
        """Parameters and statistics, the block's beside those of TALL."""
        own = {f"grb.{name}": value for name, value in self.grb.state_dict(keep_vars=True).items()}
        return self.tall.published() | {name: value for name, value in own.items() if value.is_floating_point()}


def consistency(embeddings, pairs):
    """The mean over clips and pairs of one minus the cosine."""
    first, second = zip(*pairs)
    return (1 - functional.cosine_similarity(embeddings[:, first], embeddings[:, second], dim=-1, eps=1e-8)).mean()


def main():
    output = output_argument(__doc__).parse_args().output
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    network = TallPlus(Tall(swin(WINDOWS, 2), WIDTH), 4 * WIDTH, NODES).eval()
    named = network.published()
    stored = load_file(output / "tall_tiny.safetensors")
    tall = load_file(output / "tall_reference.safetensors")
    clips, labels = tall["pixel_values"], tall["labels"]
    with torch.no_grad():
        for name, value in network.tall.published().items():
            value.copy_(stored[f"model.{name}"])
        randomise({name: value for name, value in named.items() if name.startswith("grb.")}, generator)
        for first in (network.grb.conv_state, network.grb.conv_proj):
            first.weight.mul_(0.3)  # the map is large, and the biases that follow are not to drown in it
        network.grb.blocker.momentum = 1.0
        network.grb.blocker.train()
        network(clips.flip(1, 3))  # sets the statistics, by other clips than the reference's
        network.grb.blocker.eval()
    features, logits, embeddings = network(clips)
    loss, penalty = functional.cross_entropy(logits, labels), consistency(embeddings, PAIRS)
    total = loss + WEIGHT * penalty
    total.backward()
    reference = {"features": features, "logits": logits, "loss": loss[None], "embeddings": embeddings}
    reference |= {"consistency": penalty[None], "total_loss": total[None]}
    reference |= {f"gradient.model.{name}": named[name].grad for name in GRADIENTS}
    with torch.no_grad():
        print("tallpp:", *check_that_all_counts(named, lambda: network(clips)[1]))
        reference["consistency_all_pairs"] = consistency(embeddings, ALL_PAIRS)[None]
        save_file(plain({f"model.{name}": value for name, value in named.items()}), output / "tallpp_tiny.safetensors")
        nn.init.zeros_(network.grb.blocker.weight)
        nn.init.zeros_(network.grb.blocker.bias)
        reference |= dict(zip(("zero.features", "zero.logits"), network(clips)))
        torch.testing.assert_close(reference["zero.logits"], tall["logits"])
    save_file(plain(reference), output / "tallpp_reference.safetensors")
    print(f"loss {loss.item():.4f}, consistency {penalty.item():.4f}")
    whole = TallPlus(whole_network(), 512, 128)
    count = lambda module: sum(parameter.numel() for parameter in module.parameters())
    print(f"whole: {count(whole):,} parameters, of which the block {count(whole.grb):,}")


if __name__ == "__main__":
    main()
