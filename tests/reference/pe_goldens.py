"""Makes pe_tiny.safetensors and pe_reference.safetensors: GenD on a small Perception Encoder, by timm.

The network is timm's `vit_pe_core_large_patch14_336` with the sizes TINY and all else as it is, used as GenD uses it
(yermandy/GenD, src/hf/modeling_gend.py): an input smaller than the position embeddings are for, no classifier of its
own, unit features, a linear head. The checkpoint has the names of GenD's published file. The reference holds
`pixel_values` [3,3,24,24], `labels` (i64), `position_embeddings` [1,17,24] resampled to the input's grid, `pooled`
(before the L2 norm), `features` (after it), `logits`, the mean cross-entropy `loss`, `gradient.NAME` of GRADIENTS, and
`gradient.position_embeddings` of the resampled ones, which a network trains that resampled them when it was loaded.
"""

import timm
import torch
from torch.nn import functional

from common import output_argument
from tiny_transformers import (GenD, Weights, answers, attend, check_conventions, check_parameters, count, moved,
                               randomise, rotate, save)

SEED = 20270
STORED, GRID, PATCH = 6, 4, 6
TINY = dict(img_size=STORED * PATCH, patch_size=PATCH, embed_dim=24, depth=2, num_heads=2, mlp_ratio=2.0)
TINY |= dict(attn_pool_mlp_ratio=3.0, ref_feat_shape=(STORED, STORED))
POOL_HEADS = 8
BACKBONE = "feature_extractor.backbone."
GRADIENTS = [BACKBONE + name for name in ("pos_embed", "patch_embed.proj.weight", "norm_pre.weight")]
GRADIENTS += [BACKBONE + name for name in ("blocks.0.attn.qkv.weight", "blocks.1.mlp.fc1.bias", "attn_pool.latent")]
GRADIENTS += [BACKBONE + "attn_pool.kv.weight", BACKBONE + "attn_pool.norm.bias", "model.linear.weight"]
# Each is another choice than the network's: see `written_out`.
WRONG = dict(eps=1e-6, gelu="tanh", antialias=False, order="yx", offset=0.0, reference=GRID, theta=100.0)
WRONG |= dict(interleaved=False, pooled_from=1, pool_heads=4)


def network(name="vit_pe_core_large_patch14_336", **sizes):
    """GenD with a Perception Encoder of timm."""
    backbone = timm.create_model(name, pretrained=False, dynamic_img_size=True, **sizes)
    backbone.reset_classifier(0)
    return GenD(backbone, backbone.num_features).eval()


def rotation(grid, width, order, offset, reference, theta):
    """Angles [grid², width/2] of a head: for each patch, its coordinate along one axis, then along the other."""
    frequencies = theta ** -(torch.arange(width // 4) / (width // 4))
    coordinates = (torch.arange(grid) + offset) / grid * reference
    y, x = torch.meshgrid(coordinates, coordinates, indexing="ij")
    first, second = (x, y) if order == "xy" else (y, x)
    return torch.cat([axis.reshape(-1, 1) * frequencies for axis in (first, second)], dim=1)


def resample(embeddings, grid, antialias=True):
    """Position embeddings [1,1+s²,d] for another grid; the class token's stays."""
    cls, patches = embeddings[:, :1], embeddings[:, 1:]
    stored = round(patches.shape[1] ** 0.5)
    patches = patches.unflatten(1, (stored, stored)).permute(0, 3, 1, 2)
    patches = functional.interpolate(patches, (grid, grid), mode="bicubic", antialias=antialias, align_corners=False)
    return torch.cat([cls, patches.flatten(2).transpose(1, 2)], dim=1)


def written_out(tensors, pixels, eps=1e-5, gelu="none", antialias=True, order="xy", offset=1.0, reference=STORED,
                theta=10000.0, interleaved=True, pooled_from=0, pool_heads=POOL_HEADS):
    """Logits [n,2] of the published tensors, in plain PyTorch."""
    weights = Weights(tensors, BACKBONE)
    x = weights.patches("patch_embed.proj", pixels)
    x = torch.cat([weights["cls_token"].expand(len(x), -1, -1), x], dim=1)
    x = weights.norm("norm_pre", x + resample(weights["pos_embed"], GRID, antialias), eps)
    angles = rotation(GRID, x.shape[-1] // TINY["num_heads"], order, offset, reference, theta)
    for index in range(TINY["depth"]):
        block = weights.below(f"blocks.{index}")
        q, k, v = block.linear("attn.qkv", block.norm("norm1", x, eps)).chunk(3, dim=-1)
        turn = lambda tokens: rotate(tokens, angles, 1, interleaved)
        x = x + block.linear("attn.proj", attend(q, k, v, TINY["num_heads"], turn))
        hidden = functional.gelu(block.linear("mlp.fc1", block.norm("norm2", x, eps)), approximate=gelu)
        x = x + block.linear("mlp.fc2", hidden)
    x = weights.norm("norm", x, eps)[:, pooled_from:]
    pool = weights.below("attn_pool")
    k, v = pool.linear("kv", x).chunk(2, dim=-1)
    query = pool.linear("q", pool["latent"]).expand(len(x), -1, -1)
    x = pool.linear("proj", attend(query, k, v, pool_heads))[:, 0]
    x = x + pool.linear("mlp.fc2", functional.gelu(pool.linear("mlp.fc1", pool.norm("norm", x, eps)), approximate=gelu))
    return Weights(tensors, "model.").linear("linear", functional.normalize(x, dim=1))


def loaded_small(tensors, pixels, reference):
    """The gradient of position embeddings that were resampled beforehand; the logits must be the same."""
    model = network(**TINY | dict(img_size=GRID * PATCH))
    name = BACKBONE + "pos_embed"
    model.load_state_dict(tensors | {name: reference["position_embeddings"].detach()})
    features, logits = model(model.feature_extractor["backbone"](pixels))
    assert moved(reference["logits"], logits) < 1e-5
    return answers(model, {"logits": logits}, [name])[f"gradient.{name}"]


def main():
    output = output_argument(__doc__).parse_args().output
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    model = network(**TINY)
    randomise(model, generator)
    backbone = model.feature_extractor["backbone"]
    pixels = torch.randn(3, 3, GRID * PATCH, GRID * PATCH, generator=generator)
    pooled = backbone(pixels)
    features, logits = model(pooled)
    positions = resample(backbone.pos_embed, GRID)
    found = {"pixel_values": pixels, "position_embeddings": positions, "pooled": pooled}
    reference = answers(model, found | {"features": features, "logits": logits}, GRADIENTS)
    tensors = model.state_dict()
    reference["gradient.position_embeddings"] = loaded_small(tensors, pixels, reference)
    check_parameters(model, lambda: model(backbone(pixels))[1])
    check_conventions(logits, lambda **change: written_out(tensors, pixels, **change), WRONG)
    save(output, "pe", tensors, reference)
    trained = lambda name: "norm" in name or name.startswith("model.")
    for name in ("base_patch16_224", "large_patch14_336"):
        with torch.device("meta"):
            whole = network(f"vit_pe_core_{name}")
        print(f"{name}: {count(whole):,} parameters, {count(whole, trained):,} of them in norms and head")


if __name__ == "__main__":
    main()
