"""Makes dinov3_tiny.safetensors, dinov3_gated_tiny.safetensors and a reference of each: GenD on a small DINOv3.

The network is transformers' `DINOv3ViTModel`, used as GenD uses it (yermandy/GenD, src/hf/modeling_gend.py): the class
token after the last norm, unit features, a linear head. `dinov3` is a small ViT-L/16; `dinov3_gated` has the gated MLP
of the sizes S+, H+ and 7B. Checkpoints have the names of GenD's published file, which transformers 4 wrote: `layer.N`,
where transformers 5 has `model.layer.N` in memory. A reference holds `pixel_values` [3,3,24,24], `labels` (i64),
`pooled` (before the L2 norm), `features` (after it), `logits`, the mean cross-entropy `loss`, and `gradient.NAME` of
GRADIENTS.
"""

import torch
from torch import nn
from torch.nn import functional
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from common import output_argument
from tiny_transformers import (GenD, Weights, answers, attend, check_conventions, check_parameters, count, randomise,
                               rotate, save)

SEED = 20273
GRID, PATCH, REGISTERS = 4, 6, 4
TINY = dict(image_size=GRID * PATCH, patch_size=PATCH, hidden_size=24, num_hidden_layers=2, num_attention_heads=2)
TINY |= dict(intermediate_size=56, num_register_tokens=REGISTERS)
GATED = dict(use_gated_mlp=True, hidden_act="silu")
# Of transformers' convert_dinov3_vit_to_hf.py; all have patches of 16 and 4 registers.
SIZES = {
    "S": dict(hidden_size=384, intermediate_size=1536, num_hidden_layers=12, num_attention_heads=6),
    "S+": dict(hidden_size=384, intermediate_size=1536, num_hidden_layers=12, num_attention_heads=6) | GATED,
    "B": dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12),
    "L": dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16),
    "H+": dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20) | GATED,
}
ACTIVATIONS = {"gelu": nn.GELU(), "gelu_tanh": nn.GELU(approximate="tanh"), "silu": nn.SiLU()}
BACKBONE = "feature_extractor.backbone."
GRADIENTS = ["embeddings.register_tokens", "embeddings.patch_embeddings.weight", "layer.0.attention.k_proj.weight"]
GRADIENTS += ["layer.0.layer_scale1.lambda1", "layer.1.mlp.up_proj.weight", "norm.weight"]
GRADIENTS = [BACKBONE + name for name in GRADIENTS] + ["model.linear.weight"]
WRONG = dict(eps=1e-6, theta=10000.0, order="xy", centres=0.0, turns=1.0, interleaved=True, first=1)


def network(**sizes):
    """GenD with a DINOv3."""
    config = DINOv3ViTConfig(attn_implementation="eager", **sizes)
    return GenD(DINOv3ViTModel(config), config.hidden_size).eval()


def published(name):
    """A parameter's name in GenD's file."""
    return name.replace(".backbone.model.layer.", ".backbone.layer.")


def rotation(grid, width, theta, order, centres, turns):
    """Angles [grid², width/2] of a head: by the patch's centre in -1..1, its row first and then its column."""
    frequencies = theta ** -(torch.arange(width // 4) / (width // 4))
    coordinates = (torch.arange(grid) + centres) / grid * 2 - 1
    y, x = torch.meshgrid(coordinates, coordinates, indexing="ij")
    first, second = (y, x) if order == "yx" else (x, y)
    return torch.cat([turns * torch.pi * axis.reshape(-1, 1) * frequencies for axis in (first, second)], dim=1)


def written_out(tensors, pixels, activation, eps=1e-5, theta=100.0, order="yx", centres=0.5, turns=2.0,
                interleaved=False, first=1 + REGISTERS):
    """Logits [n,2] of the published tensors, in plain PyTorch."""
    activation = ACTIVATIONS[activation]
    weights = Weights(tensors, BACKBONE)
    x = weights.patches("embeddings.patch_embeddings", pixels)
    tokens = [weights[f"embeddings.{name}"].expand(len(x), -1, -1) for name in ("cls_token", "register_tokens")]
    x = torch.cat([*tokens, x], dim=1)
    heads = TINY["num_attention_heads"]
    angles = rotation(GRID, x.shape[-1] // heads, theta, order, centres, turns)
    for index in range(TINY["num_hidden_layers"]):
        layer = weights.below(f"layer.{index}")
        hidden = layer.norm("norm1", x, eps)
        q, k, v = (layer.linear(f"attention.{name}_proj", hidden) for name in "qkv")
        hidden = attend(q, k, v, heads, lambda tokens: rotate(tokens, angles, first, interleaved))
        x = x + layer["layer_scale1.lambda1"] * layer.linear("attention.o_proj", hidden)
        hidden = layer.norm("norm2", x, eps)
        up = layer.linear("mlp.up_proj", hidden)
        gated = layer.prefix + "mlp.gate_proj.weight" in tensors
        hidden = activation(layer.linear("mlp.gate_proj", hidden)) * up if gated else activation(up)
        x = x + layer["layer_scale2.lambda1"] * layer.linear("mlp.down_proj", hidden)
    features = functional.normalize(weights.norm("norm", x, eps)[:, 0], dim=1)
    return Weights(tensors, "model.").linear("linear", features)


def goldens(output, name, generator, activation, wrong, options):
    """One tiny network: its files, after all checks."""
    print(name)
    model = network(**TINY, **options)
    randomise(model, generator)
    backbone = model.feature_extractor["backbone"]
    pixels = torch.randn(3, 3, GRID * PATCH, GRID * PATCH, generator=generator)
    pooled = backbone(pixels).last_hidden_state[:, 0]
    features, logits = model(pooled)
    found = {"pixel_values": pixels, "pooled": pooled, "features": features, "logits": logits}
    reference = answers(model, found, GRADIENTS, published)
    tensors = {published(key): value for key, value in model.state_dict().items()}
    again = lambda: model(backbone(pixels).last_hidden_state[:, 0])[1]
    check_parameters(model, again, silent=lambda key: key.endswith("mask_token"))
    changed = lambda **change: written_out(tensors, pixels, **{"activation": activation} | change)
    check_conventions(logits, changed, WRONG | {"activation": wrong})
    save(output, name, tensors, reference)


def main():
    output = output_argument(__doc__).parse_args().output
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    goldens(output, "dinov3", generator, "gelu", "gelu_tanh", {})
    goldens(output, "dinov3_gated", generator, "silu", "gelu", GATED)
    trained = lambda name: "norm" in name or name.startswith("model.")
    for size, options in SIZES.items():
        with torch.device("meta"):
            whole = network(patch_size=16, num_register_tokens=4, **options)
        print(f"{size}: {count(whole):,} parameters, {count(whole, trained):,} of them in norms and head")


if __name__ == "__main__":
    main()
