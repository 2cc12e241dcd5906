"""Makes clip_layers.safetensors: one layer of ViT-B/16 and one of ViT-L/14 at true size, with weights from a formula.

Element i (flat, row-major) of the tensor named `name` is

    x = i ^ fnv1a(name)                     u32; FNV-1a of the name's bytes: basis 0x811c9dc5, prime 0x01000193
    x ^= x >> 16;  x *= 0x7feb352d;  x ^= x >> 15;  x *= 0x846ca68b;  x ^= x >> 16      (lowbias32, wrapping)
    u = (x >> 8) / 2^24 - 0.5               exact in f32, -0.5 <= u < 0.5
    value = scale * u                       exact, the scales are powers of two
    value = 1 + scale * u                   for LayerNorm weights, rounded once to f32

The name is that of the published checkpoints, `vision_model.embeddings.class_embedding` and so on, or `pixel_values`
for the input. `scale` is given by SCALES, the first ending that fits. The whole one-layer tower is computed: patch,
class and position embeddings, pre-norm, layer, post-norm. Both towers draw from the same names.
"""

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from common import output_argument

SCALES = (
    ("pixel_values", 4.0),
    ("class_embedding", 1.0),
    ("position_embedding.weight", 1.0),
    ("patch_embedding.weight", 0.125),
    ("norm1.weight", 0.5),
    ("norm2.weight", 0.5),
    ("norm.weight", 0.5),
    ("fc2.weight", 0.0625),
    (".weight", 0.125),
    (".bias", 0.25),
)
TOWERS = {
    "b16": dict(hidden_size=768, num_attention_heads=12, intermediate_size=3072, patch_size=16),
    "l14": dict(hidden_size=1024, num_attention_heads=16, intermediate_size=4096, patch_size=14),
}
ROWS = 8


def fnv1a(name):
    value = 0x811C9DC5
    for byte in name.encode():
        value = (value ^ byte) * 0x01000193 % 2**32
    return value


def formula(name, shape):
    """The tensor `name` by the formula above, f32."""
    x = np.arange(np.prod(shape), dtype=np.uint32) ^ np.uint32(fnv1a(name))
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    scale = next(scale for ending, scale in SCALES if name.endswith(ending))
    values = np.float32(scale) * ((x >> np.uint32(8)).astype(np.float32) / np.float32(2**24) - np.float32(0.5))
    if name.endswith("weight") and "norm" in name:
        values = np.float32(1) + values
    return torch.from_numpy(values.reshape(shape))


@torch.no_grad()
def main():
    output = output_argument(__doc__).parse_args().output
    pixels = formula("pixel_values", (1, 3, 224, 224))
    tensors = {}
    for name, sizes in TOWERS.items():
        tower = CLIPVisionModel(CLIPVisionConfig(image_size=224, num_hidden_layers=1, **sizes)).eval()
        tower.load_state_dict({key: formula("vision_model." + key, v.shape) for key, v in tower.state_dict().items()})
        answer = tower(pixels)
        tokens = answer.last_hidden_state.shape[1]
        rows = torch.tensor([i * (tokens - 1) // (ROWS - 1) for i in range(ROWS)])
        tensors[f"{name}.pooler_output"] = answer.pooler_output
        tensors[f"{name}.rows"] = rows.to(torch.int32)
        tensors[f"{name}.last_hidden_state_rows"] = answer.last_hidden_state[0, rows].contiguous()
    # The first eight values of three tensors, so that a test can tell a wrong formula from a wrong layer.
    layer = "vision_model.encoder.layers.0.self_attn.q_proj.weight"
    for name in ("pixel_values", layer, "vision_model.pre_layrnorm.weight"):
        tensors[f"formula.{name}"] = formula(name, (8,))
    output.mkdir(parents=True, exist_ok=True)
    save_file(tensors, output / "clip_layers.safetensors")


if __name__ == "__main__":
    main()
