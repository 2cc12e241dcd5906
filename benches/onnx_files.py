"""Makes ONNX files of timm's networks with random weights, for benchmarks: speed does not depend on weights.

    pip install -r tests/reference/requirements.txt
    python benches/onnx_files.py target/onnx efficientnet-lite0
"""

import argparse
import warnings
from pathlib import Path

import timm
import torch

# By the names of `unmask bench --architecture`: timm's name, side in pixels.
NETWORKS = {
    "clip-vit-b-16": ("vit_base_patch16_clip_224", 224),
    "clip-vit-l-14": ("vit_large_patch14_clip_224", 224),
    "efficientnet-lite0": ("efficientnet_lite0", 160),
    "efficientnet-b0": ("efficientnet_b0", 224),
    "efficientnet-b4": ("efficientnet_b4", 256),
    "xception": ("legacy_xception", 256),
}


def exported(name, folder):
    """The network as an ONNX file of any batch."""
    network, side = NETWORKS[name]
    path = Path(folder) / f"{name}.onnx"
    model = timm.create_model(network, num_classes=2).eval()
    pixels = torch.zeros(1, 3, side, side)
    axes = {"pixels": {0: "batch"}, "logits": {0: "batch"}}
    names = {"input_names": ["pixels"], "output_names": ["logits"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, pixels, path, **names, dynamic_axes=axes, dynamo=False, opset_version=17)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"which of {', '.join(NETWORKS)} (default: all)")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.networks or NETWORKS:
        print(exported(name, arguments.folder))


if __name__ == "__main__":
    main()
