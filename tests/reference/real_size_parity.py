"""Compares `unmask` with transformers on towers of true size. Run by hand: it writes up to 1.3 GB a tower.

    python tests/reference/real_size_parity.py --unmask target/release/unmask --folder /tmp/parity

For ViT-B/16 and ViT-L/14 (full depth, random weights): saves the tower as transformers does, imports it, runs
`unmask forward` on two random pictures, and prints max |a - b| / max |b| of the unit features. Above
--limit it exits with 1.
"""

import argparse
import subprocess
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from clip_goldens import randomise

B16 = dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, patch_size=16)
L14 = dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096, patch_size=14)
SEED = 20262


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unmask", type=Path, required=True, help="the program")
    parser.add_argument("--folder", type=Path, required=True, help="where the towers are written")
    parser.add_argument("--limit", type=float, default=1e-4, help="largest relative error (default: %(default)s)")
    return parser.parse_args()


@torch.no_grad()
def relative_error(unmask, folder, sizes):
    """max |a - b| / max |b| of unmask's features against transformers', for one tower."""
    generator = torch.Generator().manual_seed(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    tower = CLIPVisionModel(CLIPVisionConfig(image_size=224, **sizes)).eval()
    randomise(tower, generator)
    tower.save_pretrained(folder)
    pixels = torch.randn(2, 3, 224, 224, generator=generator)
    save_file({"pixel_values": pixels}, folder / "input.safetensors")
    expected = functional.normalize(tower(pixels).pooler_output, dim=-1)
    detector = folder / "detector.safetensors"
    run(unmask, "import", "--from", "hf-clip", "--input", folder / "model.safetensors", "--output", detector)
    paths = ["--model", detector, "--input", folder / "input.safetensors", "--output", folder / "output.safetensors"]
    run(unmask, "forward", *paths)
    features = load_file(folder / "output.safetensors")["features"]
    return ((features - expected).abs().max() / expected.abs().max()).item()


def run(*command):
    subprocess.run([str(part) for part in command], check=True)


def main():
    options = arguments()
    errors = {}
    for name, sizes in (("vit-b-16", B16), ("vit-l-14", L14)):
        errors[name] = relative_error(options.unmask, options.folder / name, sizes)
        print(f"{name}: max relative error {errors[name]:.2e}")
    if max(errors.values()) > options.limit:
        raise SystemExit(f"above the limit of {options.limit}")


if __name__ == "__main__":
    main()
