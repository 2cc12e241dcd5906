"""Makes xception_tiny.safetensors and xception_reference.safetensors: a small Xception, its loss and gradients.

The network is Xception (Chollet, CVPR 2017) as DeepfakeBench has it (SCLBD/DeepfakeBench, networks/xception.py),
written again with widths that can be chosen: TINY has two middle blocks where the paper has eight, so that its last
block is block6 and not block12. On images of 44 pixels the maps are 21, 19, 10, 5, 3 and 2 wide: odd and even ones
before a stride of 2, and a last row and column of pixels that the first convolution does not see. The checkpoint has
the names of DeepfakeBench's xception_best.pth: the prefix `backbone.`, the classifier `last_linear`, and
`adjust_channel`, which nothing uses. Counters of batches (`num_batches_tracked`) are left out.

The reference holds `pixel_values` [3,3,44,44], `labels` (i64), `features`, `logits`, the mean cross-entropy `loss`, and
`gradient.NAME` for the parameters in GRADIENTS, with batch norms in inference mode.

At its true widths the network is first held against timm's legacy_xception.
"""

from dataclasses import dataclass
from itertools import pairwise

import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from common import output_argument
from efficientnet_goldens import randomise

SEED = 20265
IMAGE = 44
LABELS = [0, 1, 1]
GRADIENTS = [
    "conv1.weight",
    "bn1.bias",
    "block1.rep.0.conv1.weight",
    "block1.skip.weight",
    "block3.rep.5.weight",
    "block4.rep.1.conv1.weight",
    "block5.rep.7.pointwise.weight",
    "block6.rep.4.pointwise.weight",
    "conv4.pointwise.weight",
    "bn4.weight",
    "last_linear.weight",
    "last_linear.bias",
]


@dataclass
class Widths:
    """Channels after each part, by default those of the paper."""

    stem: tuple = (32, 64)
    entry: tuple = (128, 256, 728)
    middle: int = 8  # blocks
    exit: int = 1024
    last: tuple = (1536, 2048)
    adjusted: int = 512


TINY = Widths(stem=(8, 12), entry=(16, 20, 28), middle=2, exit=36, last=(44, 52), adjusted=16)


class Separable(nn.Module):
    """A filter of 3 × 3 for each channel, then a mixture of the channels, with nothing between them."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x):
        return self.pointwise(self.conv1(x))


class Block(nn.Module):
    """ReLU, separable convolution and norm for each step from width to width, perhaps pooled, and a shortcut."""

    def __init__(self, *widths, stride=1, first_relu=True):
        super().__init__()
        layers = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.ReLU(), Separable(inputs, outputs), nn.BatchNorm2d(outputs)]
        if stride > 1:
            layers.append(nn.MaxPool2d(3, stride, padding=1))
        self.rep = nn.Sequential(*layers if first_relu else layers[1:])
        if stride > 1 or widths[0] != widths[-1]:
            self.skip = nn.Conv2d(widths[0], widths[-1], 1, stride, bias=False)
            self.skipbn = nn.BatchNorm2d(widths[-1])

    def forward(self, x):
        return self.rep(x) + (self.skipbn(self.skip(x)) if hasattr(self, "skip") else x)


class Xception(nn.Module):
    """The network, with DeepfakeBench's names less their prefix."""

    def __init__(self, widths, classes=2):
        super().__init__()
        first, second = widths.stem
        self.conv1 = nn.Conv2d(3, first, 3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.conv2 = nn.Conv2d(first, second, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(second)
        steps = enumerate(pairwise((second, *widths.entry)))
        blocks = [Block(before, after, after, stride=2, first_relu=index > 0) for index, (before, after) in steps]
        inside = widths.entry[-1]
        blocks += [Block(inside, inside, inside, inside) for _ in range(widths.middle)]
        blocks.append(Block(inside, inside, widths.exit, stride=2))
        self.blocks = [f"block{index}" for index in range(1, len(blocks) + 1)]
        for name, block in zip(self.blocks, blocks):
            self.add_module(name, block)
        third, fourth = widths.last
        self.conv3 = Separable(widths.exit, third)
        self.bn3 = nn.BatchNorm2d(third)
        self.conv4 = Separable(third, fourth)
        self.bn4 = nn.BatchNorm2d(fourth)
        self.last_linear = nn.Linear(fourth, classes)
        self.adjust_channel = nn.Sequential(nn.Conv2d(fourth, widths.adjusted, 1), nn.BatchNorm2d(widths.adjusted))

    def features(self, x):
        """pixels [n,3,h,w]: [n,d]."""
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        x = self.bn3(self.conv3(x)).relu()
        return self.bn4(self.conv4(x)).relu().mean(dim=(2, 3))

    def forward(self, x):
        return self.last_linear(self.features(x))


def parameters(module):
    """How many."""
    return sum(value.numel() for value in module.parameters())


@torch.no_grad()
def check_against_timm(generator):
    """Features and logits of the true widths equal timm's, and so do the numbers of parameters."""
    ours = Xception(Widths()).eval()
    randomise(ours, generator)
    theirs = timm.create_model("legacy_xception", num_classes=2).eval()
    used = {name: value for name, value in ours.state_dict().items() if not name.startswith("adjust_channel")}
    theirs.load_state_dict({name.replace("last_linear", "fc"): value for name, value in used.items()})
    pixels = torch.randn(1, 3, 256, 256, generator=generator)
    features = theirs.forward_head(theirs.forward_features(pixels), pre_logits=True)
    for found, expected in [(ours.features(pixels), features), (ours(pixels), theirs(pixels))]:
        assert (found - expected).norm() < 1e-5 * expected.norm()
    assert parameters(theirs) == parameters(ours) - parameters(ours.adjust_channel)
    print(f"{parameters(theirs):,} parameters; {parameters(ours.adjust_channel):,} unused ones in the file")


@torch.no_grad()
def check_each_tensor_counts(network, pixels, unused=()):
    """Logits change with every parameter and statistic but those that begin with one of `unused`."""
    before = network(pixels)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            kept = value.clone()
            value.mul_(1.5)
            changed = (network(pixels) - before).norm() > 1e-4 * before.norm()
            assert changed != name.startswith(tuple(unused)), name
            value.copy_(kept)


def main():
    output = output_argument(__doc__).parse_args().output
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    check_against_timm(generator)
    network = Xception(TINY).eval()
    with torch.no_grad():
        randomise(network, generator)
        network.last_linear.weight.mul_(0.2)  # for probabilities away from 0 and 1
    pixels = torch.randn(len(LABELS), 3, IMAGE, IMAGE, generator=generator)
    labels = torch.tensor(LABELS)
    check_each_tensor_counts(network, pixels, ["adjust_channel"])
    features, logits = network.features(pixels), network(pixels)
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    tensors = {f"backbone.{name}": value for name, value in network.state_dict().items() if value.is_floating_point()}
    save_file(tensors, output / "xception_tiny.safetensors", {"format": "pt"})
    reference = {"pixel_values": pixels, "labels": labels, "features": features, "logits": logits, "loss": loss[None]}
    reference |= {f"gradient.backbone.{name}": network.get_parameter(name).grad for name in GRADIENTS}
    reference = {name: value.detach().contiguous() for name, value in reference.items()}
    save_file(reference, output / "xception_reference.safetensors")
    print(f"loss {loss.item():.4f}, logits {logits.tolist()}")


if __name__ == "__main__":
    main()
