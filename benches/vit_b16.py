"""Makes a ViT-B/16 of random weights for benchmarks: as ONNX, and as a checkpoint that `unmask import` reads.

    pip install torch timm onnx safetensors
    python benches/vit_b16.py target/vit-b16
    unmask import --from hf-clip --input target/vit-b16/clip.safetensors --output target/vit-b16/detector.safetensors

The network is timm's `vit_base_patch16_clip_224`, the image tower of CLIP ViT-B/16, with a head of two outputs. Speed does not depend on
weights, so nothing is downloaded. Both files have the same weights; only the heads differ.
"""

import argparse
import re
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

NAME, SIDE, SEED = "vit_base_patch16_clip_224", 224, 0
WHOLE = {
    "cls_token": "embeddings.class_embedding",
    "pos_embed": "embeddings.position_embedding.weight",
    "patch_embed.proj.weight": "embeddings.patch_embedding.weight",
    "norm_pre.weight": "pre_layrnorm.weight",
    "norm_pre.bias": "pre_layrnorm.bias",
    "norm.weight": "post_layernorm.weight",
    "norm.bias": "post_layernorm.bias",
}
MODULES = {"norm1": "layer_norm1", "norm2": "layer_norm2", "attn.proj": "self_attn.out_proj", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}


def of_transformers(tensors):
    """The tower's tensors under the names of transformers' `CLIPVisionModel`."""
    renamed = {}
    for name, tensor in tensors.items():
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", name)
        if name in WHOLE:
            renamed[f"vision_model.{WHOLE[name]}"] = tensor.squeeze() if name in ("cls_token", "pos_embed") else tensor
        elif block:
            number, module, kind = block.groups()
            layer = f"vision_model.encoder.layers.{number}"
            if module == "attn.qkv":
                for part, piece in zip("qkv", tensor.chunk(3)):
                    renamed[f"{layer}.self_attn.{part}_proj.{kind}"] = piece
            else:
                renamed[f"{layer}.{MODULES[module]}.{kind}"] = tensor
    return {name: tensor.contiguous() for name, tensor in renamed.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the files go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    network = timm.create_model(NAME, num_classes=2).eval()
    save_file(of_transformers(network.state_dict()), folder / "clip.safetensors")
    options = {"input_names": ["pixels"], "output_names": ["logits"], "opset_version": 17, "dynamo": False}
    axes = {"pixels": {0: "images"}, "logits": {0: "images"}}
    torch.onnx.export(network, torch.zeros(1, 3, SIDE, SIDE), folder / "vit_b16.onnx", dynamic_axes=axes, **options)


if __name__ == "__main__":
    main()
