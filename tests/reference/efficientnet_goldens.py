"""Makes efficientnet_tiny.safetensors, efficientnet_reference.safetensors and efficientnet_batch.safetensors: a small
EfficientNet-Lite and its gradients.

The network is `efficientnet_lite_pytorch`'s own class with fewer and narrower stages, TINY, on images of an odd
half size, so that every kind of padding occurs. The checkpoint has the names of that package. The reference holds
`pixel_values`, `labels` (i64), `features`, `logits`, the mean cross-entropy `loss`, and `gradient.NAME` for every
parameter, all with batch norms in inference mode, and `clamped`, the share of the activations that ReLU6 clamps.
The file of the batch holds `logits`, `loss` and the gradients with batch norms in training mode and without dropout, and
`statistic.NAME` for every mean and (unbiased) variance that the norms found in that batch.
"""

import torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import BlockDecoder, get_model_params
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from common import output_argument

SEED = 20262
IMAGE = 34
# Channels are eight times those of the network, which width_coefficient makes an eighth of them.
TINY = ["r1_k3_s11_e1_i32_o128", "r2_k5_s22_e3_i128_o192", "r1_k3_s22_e6_i192_o256"]


def tiny_network():
    """Stem 8; blocks 8→16, 16→24, 24→24 with a residual, 24→32; last convolution 160; two classes."""
    _, parameters = get_model_params("efficientnet-lite0", None)
    parameters = parameters._replace(image_size=IMAGE, num_classes=2, width_coefficient=0.125, fix_head_stem=False)
    return EfficientNet(BlockDecoder.decode(TINY), parameters).eval()


def randomise(network, generator):
    """Fills parameters and statistics so that nothing is trivially 0 or 1 and ReLU6 clamps at both ends."""
    for name, value in network.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            noise = 0.5 + noise.abs()
        elif name.endswith("running_mean") or name.endswith("bias"):
            noise = 0.3 * noise
        elif value.dim() == 1:
            noise = 1.5 + 0.4 * noise
        else:
            noise = noise / value[0].numel() ** 0.5
        value.copy_(noise)


def clamped_share(network, pixels):
    """The share of activations at 0 or 6."""
    found = []
    hooks = [module.register_forward_hook(lambda _, __, output: found.append(output))
             for module in network.modules() if isinstance(module, nn.ReLU6)]
    network(pixels)
    for hook in hooks:
        hook.remove()
    values = torch.cat([output.flatten() for output in found])
    return torch.stack([(values == 0).float().mean(), (values == 6).float().mean()])


def by_batch(network, pixels, labels):
    """Logits, loss, gradients and statistics with batch norms that use those of the batch."""
    network.zero_grad()
    network.train()
    network._dropout.p = 0.0
    network._global_params = network._global_params._replace(drop_connect_rate=0.0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    logits = network(pixels)
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    found = {"logits": logits, "loss": loss[None]}
    found |= {f"gradient.{name}": parameter.grad for name, parameter in network.named_parameters()}
    return found | {f"statistic.{name}": value for name, value in network.named_buffers() if value.is_floating_point()}


def main():
    output = output_argument(__doc__).parse_args().output
    generator = torch.Generator().manual_seed(SEED)
    network = tiny_network()
    with torch.no_grad():
        randomise(network, generator)
    pixels = torch.randn(3, 3, IMAGE, IMAGE, generator=generator)
    labels = torch.tensor([0, 1, 1])
    features = network.extract_features(pixels).mean(dim=(2, 3))
    logits = network(pixels)
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    tensors = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    save_file(tensors, output / "efficientnet_tiny.safetensors", {"format": "pt"})
    reference = {"pixel_values": pixels, "labels": labels, "features": features, "logits": logits, "loss": loss[None]}
    reference["clamped"] = clamped_share(network, pixels)
    reference |= {f"gradient.{name}": parameter.grad for name, parameter in network.named_parameters()}
    plain = lambda tensors: {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    save_file(plain(reference), output / "efficientnet_reference.safetensors")
    save_file(plain(by_batch(network, pixels, labels)), output / "efficientnet_batch.safetensors")
    zero, six = reference["clamped"].tolist()
    print(f"loss {loss.item():.4f}; ReLU6 clamps {zero:.1%} to 0 and {six:.1%} to 6")


if __name__ == "__main__":
    main()
