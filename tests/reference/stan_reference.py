"""CLIP with STAN written out in PyTorch, and what it answers: stan_attention.safetensors and stan_conv.safetensors.

Each is a tiny detector file (this project's tensor names, its description in the header) that also runs in `unmask`.
stan_reference.safetensors has
    pixel_values                      [2,8,3,16,16], two clips
    MODULE.tT.{features,logits}       for MODULE attention and conv, and the first T = 3 and 8 frames of each clip
    MODULE.tT.zero.{features,logits}  the same with every temporal `fc` at zero
    MODULE.t8.{masks,dropped_features}  drop-path masks [layers, 2, clips], and the features with them

The formulation is that of farewellthree/STAN's `clip_stan_hf.py` (Liu et al., CVPR 2023), with CLIP's own layers from
transformers. That file's convolutional time module is not published with it; here it is a convolution over three frames
and a LayerNorm in place of LayerNorm and attention, and like them it goes through the zero-initialised `fc`.
Stochastic depth drops clips, and multiplies what remains by the inverse of the probability to remain.
"""

import json

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel
from transformers.models.clip.modeling_clip import CLIPAttention, CLIPEncoderLayer

from clip_goldens import randomise
from common import output_argument

SEED = 20264
SIZES = dict(image_size=16, patch_size=8, hidden_size=16, num_hidden_layers=3, num_attention_heads=2)
SIZES |= dict(intermediate_size=32, attn_implementation="eager")
DEPTH = 2
TIMES = 64
CLIPS, FRAMES, SHORT = 2, 8, 3
DROP_PATH = 0.5


class Temporal(nn.Module):
    """Mixes the times of each patch. Tokens [b, 1 + l·t, d]."""

    def __init__(self, config, module):
        super().__init__()
        width = config.hidden_size
        self.norm = nn.LayerNorm(width)
        if module == "attention":
            self.attention = CLIPAttention(config)
        else:
            self.conv = nn.Conv1d(width, width, 3, padding=1)
        self.fc = nn.Linear(width, width)

    def forward(self, tokens, frames, mask):
        clips, _, width = tokens.shape
        cls, patches = tokens[:, :1], tokens[:, 1:]
        x = patches.reshape(-1, frames, width)
        if hasattr(self, "attention"):
            x = self.attention(hidden_states=self.norm(x))[0]
        else:
            x = self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2))
        x = self.fc(x.reshape(clips, -1, width) * mask[:, None, None])
        return torch.cat([cls, patches + x], dim=1)


class Spatial(nn.Module):
    """Mixes the patches of each frame and a copy of the class token. Tokens [b, 1 + l·t, d]."""

    def __init__(self, config):
        super().__init__()
        self.layer = CLIPEncoderLayer(config)

    def forward(self, tokens, frames, mask):
        clips, length, width = tokens.shape
        patches = (length - 1) // frames
        cls = tokens[:, None, :1].expand(clips, frames, 1, width)
        by_frame = tokens[:, 1:].reshape(clips, patches, frames, width).transpose(1, 2)
        x = torch.cat([cls, by_frame], dim=2).reshape(clips * frames, 1 + patches, width)
        x = self.layer.self_attn(hidden_states=self.layer.layer_norm1(x))[0]
        x = x.reshape(clips, frames, 1 + patches, width) * mask[:, None, None, None]
        change = torch.cat([x[:, :, 0].mean(1, keepdim=True), x[:, :, 1:].transpose(1, 2).flatten(1, 2)], dim=1)
        tokens = tokens + change
        return tokens + self.layer.mlp(self.layer.layer_norm2(tokens))


class Stan(nn.Module):
    """The tower, the branch and a linear head."""

    def __init__(self, tower, module):
        super().__init__()
        self.tower = tower
        self.time_embedding = nn.Embedding(TIMES, tower.config.hidden_size)
        self.temporal = nn.ModuleList(Temporal(tower.config, module) for _ in range(DEPTH))
        self.spatial = nn.ModuleList(Spatial(tower.config) for _ in range(DEPTH))
        self.head = nn.Linear(tower.config.hidden_size, 2)

    def forward(self, pixels, masks=None):
        """pixels [b,t,3,h,w], masks [layers,2,b]: unit features [b,d] and logits [b,2]."""
        clips, frames = pixels.shape[:2]
        masks = torch.ones(DEPTH, 2, clips) if masks is None else masks
        vision = self.tower
        x = vision.pre_layrnorm(vision.embeddings(pixels.flatten(0, 1)))
        layers = vision.encoder.layers
        branch = None
        for index, layer in enumerate(layers):
            x = layer(x, attention_mask=None)
            x = x[0] if isinstance(x, tuple) else x
            beside = index - (len(layers) - DEPTH)
            if beside < 0:
                continue
            seen = x.unflatten(0, (clips, frames))
            cls, patches = seen[:, :, 0].mean(1, keepdim=True), seen[:, :, 1:].transpose(1, 2)  # b l t d
            if branch is None:
                positions = vision.embeddings.position_embedding.weight
                cls = (cls + vision.embeddings.class_embedding + positions[0]) / 2
                patches = patches + positions[1:, None] + self.time_embedding.weight[:frames]
                branch = torch.cat([cls, patches.flatten(1, 2)], dim=1)
            else:
                branch = branch + torch.cat([cls, patches.flatten(1, 2)], dim=1)
            branch = self.temporal[beside](branch, frames, masks[beside, 0])
            branch = self.spatial[beside](branch, frames, masks[beside, 1])
        cls = x[:, 0].unflatten(0, (clips, frames)) + branch[:, :1]
        features = functional.normalize(vision.post_layernorm(cls).mean(1), dim=-1)
        return features, self.head(features)


MODULES = {"self_attn.q_proj": "attention.query", "self_attn.k_proj": "attention.key"}
MODULES |= {"self_attn.v_proj": "attention.value", "self_attn.out_proj": "attention.output"}
MODULES |= {"layer_norm1": "norm1", "layer_norm2": "norm2", "q_proj": "query", "k_proj": "key", "v_proj": "value"}
MODULES |= {"out_proj": "output", "encoder.layers": "layers", "pre_layrnorm": "pre_norm"}
MODULES |= {"post_layernorm": "post_norm", "embeddings.class_embedding": "class_embedding"}
MODULES |= {"embeddings.patch_embedding.weight": "patch_embedding"}
MODULES |= {"embeddings.position_embedding.weight": "position_embedding"}


def our_name(name):
    """The name of a tensor in a detector file."""
    name = name.removeprefix("tower.vision_model.").removeprefix("tower.")
    tower = not name.startswith(("temporal.", "spatial.", "head.", "time_embedding."))
    for theirs, ours in MODULES.items():
        name = name.replace(theirs, ours)
    if tower:
        return "tower." + name
    kind, rest = name.split(".", 1)
    if kind == "head":
        return "head.layers.0." + rest
    if kind == "time_embedding":
        return "branch.time_embedding"
    index, rest = rest.split(".", 1)
    return f"branch.layers.{index}.{kind}.{rest.removeprefix('layer.')}"


def description(module):
    """The document in a detector file's header."""
    clip = dict(image_size=SIZES["image_size"], patch_size=SIZES["patch_size"], width=SIZES["hidden_size"])
    clip |= dict(depth=SIZES["num_hidden_layers"], heads=SIZES["num_attention_heads"], mlp=SIZES["intermediate_size"])
    architecture = dict(kind="stan", clip=clip | {"head": "1mlp"}, branch_depth=DEPTH, clip_length=FRAMES)
    architecture |= dict(time_module=module, drop_path=DROP_PATH)
    return {
        "version": 1,
        "name": f"stan-tiny-{module}",
        "architecture": architecture,
        "input": {"size": SIZES["image_size"], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"},
        "crop": {"geometry": "dfb", "size": 64, "margin": 1.3},
        "sampling": {"frames": 32, "clip_length": FRAMES},
        "labels": ["real", "fake"],
        "calibration": {"temperature": 1.0, "real_below": 0.35, "fake_above": 0.65},
        "training": {"status": "imported", "summary": "random, for tests"},
        "licence": None,
        "base_model": None,
    }


@torch.no_grad()
def main():
    output = output_argument(__doc__).parse_args().output
    generator = torch.Generator().manual_seed(SEED)
    pixels = torch.randn(CLIPS, FRAMES, 3, SIZES["image_size"], SIZES["image_size"], generator=generator)
    reference = {"pixel_values": pixels}
    for module in ("attention", "conv"):
        model = Stan(CLIPVisionModel(CLIPVisionConfig(**SIZES)), module).eval()
        randomise(model, generator)
        tensors = {our_name(name): value.clone() for name, value in model.state_dict().items()}
        metadata = {"unmask": json.dumps(description(module), separators=(",", ":"))}
        save_file(tensors, output / f"stan_{module}.safetensors", metadata)
        keep = 1 - DROP_PATH * torch.arange(DEPTH)[:, None, None] / (DEPTH - 1)
        masks = (torch.rand(DEPTH, 2, CLIPS, generator=generator) < keep).float() / keep
        masks[1, 0] = torch.tensor([0.0, 2.0])  # at least one clip is dropped by one layer, and one is not
        for frames in (SHORT, FRAMES):
            features, logits = model(pixels[:, :frames])
            reference |= {f"{module}.t{frames}.features": features, f"{module}.t{frames}.logits": logits}
        reference[f"{module}.t{FRAMES}.masks"] = masks
        reference[f"{module}.t{FRAMES}.dropped_features"] = model(pixels, masks)[0]
        for temporal in model.temporal:
            nn.init.zeros_(temporal.fc.weight)
            nn.init.zeros_(temporal.fc.bias)
        for frames in (SHORT, FRAMES):
            features, logits = model(pixels[:, :frames])
            reference |= {f"{module}.t{frames}.zero.features": features, f"{module}.t{frames}.zero.logits": logits}
    save_file({name: value.contiguous() for name, value in reference.items()}, output / "stan_reference.safetensors")


if __name__ == "__main__":
    main()
