"""Makes vit_tiny.safetensors, vit_average_tiny.safetensors and a reference of each: small plain ViTs, by timm.

`vit` is CommunityForensics' detector (JeongsooP/Community-Forensics, models.py): timm's `vit_small_patch16_384` with a
head of one logit on the class token, all names below `vit.`. `vit_average` is a detector of FS-VFM
(wolo-wolo/FSFM-CVPR25, models_vit.py): a LayerNorm on the mean of the patches, a head of two logits, **fake first**,
names without a prefix. Sizes are TINY, all else is as published. A reference holds `pixel_values` [3,3,24,24], `labels`
(i64), `features` (what goes into the head), `logits` (real, fake: of CommunityForensics' logit z they are 0 and z), the
mean cross-entropy `loss`, and `gradient.NAME` of GRADIENTS, the last norm and the head.
"""

from functools import partial

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from common import output_argument
from tiny_transformers import Weights, answers, attend, check_conventions, check_parameters, count, randomise, save

SEED = 20276
GRID, PATCH = 4, 6
TINY = dict(img_size=GRID * PATCH, patch_size=PATCH, embed_dim=24, depth=2, mlp_ratio=2.0)
HEADS = {"vit": 3, "vit_average": 2}
GRADIENTS = ["cls_token", "pos_embed", "patch_embed.proj.bias", "blocks.0.attn.qkv.weight", "blocks.1.mlp.fc2.weight"]
WRONG = dict(eps=1e-5, gelu="tanh", heads=6)


def community_forensics(**sizes):
    """The network of CommunityForensics."""
    return nn.ModuleDict({"vit": timm.create_model("vit_small_patch16_384", num_classes=1, **sizes)}).eval()


def fs_vfm(**sizes):
    """A fine-tuned network of FS-VFM."""
    norm = partial(nn.LayerNorm, eps=1e-6)
    return VisionTransformer(num_classes=2, global_pool="avg", norm_layer=norm, **sizes).eval()


def real_and_fake(raw):
    """Logits [n,2] of real and fake from what the head gives: one logit of fake, or fake and real."""
    return torch.cat([torch.zeros_like(raw), raw], dim=1) if raw.shape[1] == 1 else raw.flip(1)


def written_out(tensors, prefix, heads, pixels, eps=1e-6, gelu="none"):
    """Logits [n,2] of the published tensors, in plain PyTorch."""
    weights = Weights(tensors, prefix)
    x = weights.patches("patch_embed.proj", pixels)
    x = torch.cat([weights["cls_token"].expand(len(x), -1, -1), x], dim=1) + weights["pos_embed"]
    for index in range(TINY["depth"]):
        block = weights.below(f"blocks.{index}")
        q, k, v = block.linear("attn.qkv", block.norm("norm1", x, eps)).chunk(3, dim=-1)
        x = x + block.linear("attn.proj", attend(q, k, v, heads))
        hidden = functional.gelu(block.linear("mlp.fc1", block.norm("norm2", x, eps)), approximate=gelu)
        x = x + block.linear("mlp.fc2", hidden)
    averaged = prefix + "fc_norm.weight" in tensors
    features = weights.norm("fc_norm", x[:, 1:].mean(1), eps) if averaged else weights.norm("norm", x, eps)[:, 0]
    return real_and_fake(weights.linear("head", features))


def goldens(output, name, model, prefix, last, generator):
    """One tiny network: its files, after all checks. `last` is the name of the last norm."""
    print(name)
    randomise(model, generator)
    vit = model["vit"] if prefix else model
    pixels = torch.randn(3, 3, GRID * PATCH, GRID * PATCH, generator=generator)
    features = vit.forward_head(vit.forward_features(pixels), pre_logits=True)
    found = {"pixel_values": pixels, "features": features, "logits": real_and_fake(vit.head(features))}
    names = [prefix + part for part in GRADIENTS + [f"{last}.weight", "head.weight"]]
    reference = answers(model, found, names)
    check_parameters(model, lambda: real_and_fake(vit(pixels)))
    tensors = model.state_dict()
    given = {"heads": HEADS[name]}
    changed = lambda **change: written_out(tensors, prefix, pixels=pixels, **given | change)
    check_conventions(found["logits"], changed, WRONG)
    save(output, name, tensors, reference)


def main():
    output = output_argument(__doc__).parse_args().output
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    goldens(output, "vit", community_forensics(num_heads=HEADS["vit"], **TINY), "vit.", "norm", generator)
    goldens(output, "vit_average", fs_vfm(num_heads=HEADS["vit_average"], **TINY), "", "fc_norm", generator)
    with torch.device("meta"):
        whole = {"CommunityForensics S/16-384": community_forensics()}
        for size, width, depth, heads in (("S", 384, 12, 12), ("B", 768, 12, 12), ("L", 1024, 24, 16)):
            whole[f"FS-VFM {size}/16"] = fs_vfm(embed_dim=width, depth=depth, num_heads=heads)
    trained = lambda name: "norm" in name or name.startswith(("head.", "vit.head."))
    for name, model in whole.items():
        print(f"{name}: {count(model):,} parameters, {count(model, trained):,} of them in norms and head")


if __name__ == "__main__":
    main()
