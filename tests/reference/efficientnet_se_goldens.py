"""Makes efficientnet_{se,b4}_{tiny,reference,batch}.safetensors: two small EfficientNets with squeeze-excite.

Both are efficientnet_pytorch 0.7.1's own class with fewer and narrower stages. That class pads each convolution for one
nominal size of image, as TensorFlow's SAME does at that size, whatever size of image comes.
`se` is the class as it is: its own names, classifier `_fc`, images of the nominal 38 pixels (maps 19, 10, 5, 3), where
fixed padding and SAME are one. All four kinds of padding before a stride of 2 occur: (0,1) and (1,1) of a kernel of
3, (1,2) and (2,2) of one of 5.
`b4` is what DeepfakeBench made of it (SCLBD/DeepfakeBench, training/networks/efficientnetb4.py): a new first
convolution without padding, classifier `last_layer`, and images of 36 pixels in a network that pads for 60 (maps 17, 8,
4, 2), as DeepfakeBench gives 256 to one that pads for 380. The names are those of its effnb4_best.pth, with the prefix
`backbone.`. Counters of batches (`num_batches_tracked`) are left out.

Each `reference` holds `pixel_values` [3,3,h,w], `labels` (i64), `features`, `logits`, the mean cross-entropy `loss`,
and `gradient.NAME` for some parameters, with batch norms in inference mode. Each `batch` holds `logits`, `loss` and the
same gradients with batch norms in training mode, without dropout and drop connect, and `statistic.NAME` for every mean
and (unbiased) variance that the norms found in that batch.
"""

import torch
from efficientnet_pytorch import EfficientNet
from efficientnet_pytorch.utils import BlockDecoder, get_model_params
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from common import output_argument
from efficientnet_goldens import randomise
from xception_goldens import check_each_tensor_counts, parameters

SEED = 20266
LABELS = [0, 1, 1]
# Channels are sixteen times those of the networks, which width_coefficient makes a sixteenth of them.
SIZES = dict(width_coefficient=0.0625, depth_coefficient=1.0, depth_divisor=4, min_depth=8, num_classes=2)
SE_IMAGE = 38
SE_STAGES = [
    "r1_k3_s11_e1_i128_o192_se0.25",
    "r1_k3_s22_e6_i192_o256_se0.25",
    "r2_k5_s22_e4_i256_o320_se0.25",
    "r1_k5_s22_e3_i320_o448_se0.25",
    "r1_k3_s11_e2_i448_o512_se0.25",
]
B4_IMAGE, B4_NOMINAL = 36, 60
B4_STAGES = [
    "r2_k3_s11_e1_i128_o192_se0.25",
    "r1_k3_s22_e6_i192_o256_se0.25",
    "r2_k5_s22_e4_i256_o320_se0.25",
    "r1_k5_s11_e2_i320_o384_se0.25",
    "r1_k5_s22_e2_i384_o448_se0.25",
    "r1_k3_s11_e2_i448_o512_se0.25",
]
GRADIENTS = [
    "_conv_stem.weight",
    "_bn0.weight",
    "_blocks.0._se_reduce.weight",
    "_blocks.1._depthwise_conv.weight",
    "_blocks.2._bn1.weight",
    "_blocks.3._expand_conv.weight",
    "_blocks.3._se_reduce.bias",
    "_blocks.4._se_expand.bias",
    "_blocks.5._depthwise_conv.weight",
    "_conv_head.weight",
]


def network(stages, image):
    """efficientnet_pytorch's network for images of this nominal size; None pads by the size of what comes."""
    _, sizes = get_model_params("efficientnet-b0", SIZES | dict(image_size=image))
    return EfficientNet(BlockDecoder.decode(stages), sizes)


class Plain(nn.Module):
    """The package's network, and features beside its logits."""

    prefix, trunk, head = "", "", "_fc"

    def __init__(self, efficientnet):
        super().__init__()
        self.named = efficientnet

    def features(self, pixels):
        return self.named.extract_features(pixels).mean(dim=(2, 3))

    def forward(self, pixels):
        return self.named(pixels)


class DeepfakeBench(nn.Module):
    """The package's network between DeepfakeBench's first and last layers."""

    prefix, trunk, head = "backbone.", "efficientnet.", "last_layer"

    def __init__(self, efficientnet):
        super().__init__()
        last = nn.Linear(efficientnet._fc.in_features, efficientnet._fc.out_features)
        efficientnet._conv_stem = nn.Conv2d(3, efficientnet._conv_stem.out_channels, 3, stride=2, bias=False)
        efficientnet._fc = nn.Identity()
        self.named = nn.ModuleDict({"efficientnet": efficientnet, "last_layer": last})

    def features(self, pixels):
        return self.named.efficientnet.extract_features(pixels).mean(dim=(2, 3))

    def forward(self, pixels):
        return self.named.last_layer(self.features(pixels))


def floats(model):
    """Parameters and statistics under the names of the checkpoint."""
    tensors = model.named.state_dict().items()
    return {model.prefix + name: value for name, value in tensors if value.is_floating_point()}


def use_batch(model):
    """Batch norms use the statistics of the batch and keep just those; nothing is dropped."""
    model.train()
    for module in model.modules():
        if isinstance(module, EfficientNet):
            module._dropout.p = 0.0
            module._global_params = module._global_params._replace(drop_connect_rate=0.0)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0


@torch.no_grad()
def prepare(model, image, generator):
    """Fills the network at random, with statistics near those that its norms find in the images, which are returned."""
    pixels = torch.randn(len(LABELS), 3, image, image, generator=generator)
    randomise(model.eval(), generator)

    def find_statistics(norm, inputs):
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
        noise = torch.rand(2, norm.num_features, generator=generator) - 0.5
        norm.running_mean.copy_(mean + noise[0] * variance.sqrt())
        norm.running_var.copy_(variance * (1.0 + noise[1]))

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(find_statistics) for norm in norms]
    model(pixels)
    for hook in hooks:
        hook.remove()
    check_each_tensor_counts(model, pixels)
    return pixels


@torch.no_grad()
def check_padding(model, other, pixels, equal):
    """A network of the same weights and another padding gives the same logits, or other ones."""
    other.eval().load_state_dict(model.state_dict())
    assert torch.allclose(other(pixels), model(pixels), rtol=1e-3) == equal


def write(kind, model, pixels, output):
    """The three files of a network."""
    plain = lambda tensors: {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    labels = torch.tensor(LABELS)

    def answers():
        """Logits, loss and gradients."""
        model.zero_grad()
        logits = model(pixels)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        names = [model.trunk + name for name in GRADIENTS] + [f"{model.head}.weight", f"{model.head}.bias"]
        gradients = {f"gradient.{model.prefix}{name}": model.named.get_parameter(name).grad for name in names}
        return {"logits": logits, "loss": loss[None]} | gradients

    save_file(plain(floats(model)), output / f"efficientnet_{kind}_tiny.safetensors", {"format": "pt"})
    reference = {"pixel_values": pixels, "labels": labels, "features": model.features(pixels)} | answers()
    save_file(plain(reference), output / f"efficientnet_{kind}_reference.safetensors")
    use_batch(model)
    batch = answers()
    statistics = {name: value for name, value in floats(model).items() if ".running_" in name}
    batch |= {f"statistic.{name}": value for name, value in statistics.items()}
    save_file(plain(batch), output / f"efficientnet_{kind}_batch.safetensors")
    print(f"{kind}: loss {reference['loss'].item():.4f}, by the batch {batch['loss'].item():.4f}")


def print_counts():
    """Parameters at the true sizes, with two classes."""
    for size in range(8):
        with torch.device("meta"):
            whole = EfficientNet.from_name(f"efficientnet-b{size}", num_classes=2)
        norms = sum(parameters(module) for module in whole.modules() if isinstance(module, nn.BatchNorm2d))
        print(f"B{size}: {parameters(whole):,} parameters, {norms:,} of norms, {parameters(whole._fc):,} of the head")


def main():
    output = output_argument(__doc__).parse_args().output
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    print_counts()
    plain = Plain(network(SE_STAGES, SE_IMAGE))
    pixels = prepare(plain, SE_IMAGE, generator)
    check_padding(plain, Plain(network(SE_STAGES, None)), pixels, equal=True)
    write("se", plain, pixels, output)
    b4 = DeepfakeBench(network(B4_STAGES, B4_NOMINAL))
    pixels = prepare(b4, B4_IMAGE, generator)
    for nominal in (None, B4_IMAGE):
        check_padding(b4, DeepfakeBench(network(B4_STAGES, nominal)), pixels, equal=False)
    write("b4", b4, pixels, output)


if __name__ == "__main__":
    main()
