"""Images per second of training CLIP ViT-B/16, `unmask train` beside PyTorch on the same machine, one after the other.

    pip install -r tests/reference/requirements.txt
    cargo build --release
    python benches/train_speed.py --unmask target/release/unmask

Both train layer norms and head (`ln`) and everything (`full`) from the same random weights on the same crops, in f32,
without augmentation; each takes as many steps as --steps says, of which the first is not counted. PyTorch's time has no
reading of images in it, ours has.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModel

RECIPE = """
name = "speed"
[model]
start = "{start}"
strategy = "{strategy}"
[augmentation]
flip = 0.0
rotate.probability = 0.0
blur.probability = 0.0
brightness_contrast.probability = 0.0
jpeg.probability = 0.0
[run]
epochs = 1
batch = {batch}
checkpoint_every = 1000000
"""


def make_crops(folder, batch, steps):
    """Random crops: a training split of `steps` batches, half of them fake, and a validation split of two."""
    generator = np.random.default_rng(0)
    for split, count in (("train", batch * steps // 2), ("val", 1)):
        for label in ("real", "fake"):
            place = folder / split / label
            place.mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 256, (224, 224, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{split}_{label}_{index}.png", compress_level=1)


def ours(unmask, folder, strategy, batch):
    """Images per second over the steps after the first."""
    recipe = folder / f"{strategy}.toml"
    recipe.write_text(RECIPE.format(start=folder / "start.safetensors", strategy=strategy, batch=batch))
    out = folder / strategy
    command = [unmask, "train", "--config", recipe, "--data", folder / "crops", "--aligned", "--out", out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    measures = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    times = [measure["time_s"] for measure in measures if measure["kind"] == "step"]
    return batch * (len(times) - 1) / (times[-1] - times[0])


def pytorchs(config, strategy, batch, steps):
    """The same for PyTorch."""
    tower, head = CLIPVisionModel(config), torch.nn.Linear(config.hidden_size, 2)
    for name, parameter in tower.named_parameters():
        parameter.requires_grad = strategy == "full" or "norm" in name
    trained = [p for p in [*tower.parameters(), *head.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    labels = torch.arange(batch) % 2
    times = []
    for _ in range(steps):
        pixels = torch.randn(batch, 3, config.image_size, config.image_size)
        features = torch.nn.functional.normalize(tower(pixels).pooler_output, dim=-1)
        loss = torch.nn.functional.cross_entropy(head(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.time())
    return batch * (len(times) - 1) / (times[-1] - times[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unmask", required=True, help="the built program")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    config = CLIPVisionConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
    config.patch_size = 16
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_crops(folder / "crops", options.batch, options.steps)
        CLIPVisionModel(config).save_pretrained(folder / "b16")
        source, start = folder / "b16" / "model.safetensors", folder / "start.safetensors"
        command = [options.unmask, "import", "--from", "hf-clip", "--input", source, "--output", start]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(f"ViT-B/16, batch {options.batch}, {torch.get_num_threads()} threads, images per second")
        for strategy in ("ln", "full"):
            mine = ours(options.unmask, folder, strategy, options.batch)
            theirs = pytorchs(config, strategy, options.batch, options.steps)
            print(f"{strategy:5} unmask {mine:6.2f}   PyTorch {theirs:6.2f}   ratio {mine / theirs:.2f}")


if __name__ == "__main__":
    main()
