"""Images per second of training CLIP, `unmask train` beside PyTorch on the same machine, one after the other.

    pip install -r tests/reference/requirements.txt
    cargo build --release
    python benches/train_speed.py --unmask target/release/unmask

    cargo xtask cuda
    python benches/train_speed.py --unmask target/release/unmask --device cuda --batch 64 --steps 40

Both train layer norms and head (`ln`) and everything (`full`) from the same random weights on the same crops, without
augmentation: ViT-B/16 in f32 on a CPU, ViT-B/16 and ViT-L/14 in bf16 (PyTorch: autocast) on an NVIDIA GPU. Each takes as
many steps as --steps says; the first does not count on a CPU, the first quarter on a GPU, where kernels are compiled and
chosen in the first steps. PyTorch's time has no reading of images in it, ours has.
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

SIZES = {
    "ViT-B/16": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "patch_size": 16,
    },
    "ViT-L/14": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
    },
}


def images_per_second(times, batch, options):
    """Over the steps after those that do not count."""
    skipped = 1 if options.device == "cpu" else max(1, options.steps // 4)
    counted = times[skipped - 1 :]
    return batch * (len(counted) - 1) / (counted[-1] - counted[0])


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


def ours(options, crops, folder, strategy):
    """Images per second of unmask, from the detector in `folder`."""
    recipe = folder / f"{strategy}.toml"
    recipe.write_text(RECIPE.format(start=folder / "start.safetensors", strategy=strategy, batch=options.batch))
    out = folder / strategy
    command = [options.unmask, "train", "--config", recipe, "--data", crops, "--aligned", "--out", out]
    subprocess.run([*command, "--device", options.device], check=True, stdout=subprocess.DEVNULL)
    measures = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    times = [measure["time_s"] for measure in measures if measure["kind"] == "step"]
    return images_per_second(times, options.batch, options)


def pytorchs(options, config, strategy):
    """The same for PyTorch."""
    device = torch.device(options.device)
    tower, head = CLIPVisionModel(config).to(device), torch.nn.Linear(config.hidden_size, 2).to(device)
    for name, parameter in tower.named_parameters():
        parameter.requires_grad = strategy == "full" or "norm" in name
    trained = [p for p in [*tower.parameters(), *head.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    labels = torch.arange(options.batch, device=device) % 2
    times = []
    for _ in range(options.steps):
        pixels = torch.randn(options.batch, 3, config.image_size, config.image_size).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            features = torch.nn.functional.normalize(tower(pixels).pooler_output.float(), dim=-1)
            loss = torch.nn.functional.cross_entropy(head(features).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # Reading the loss waits for the device, as unmask does for its metrics.
        loss.item()
        times.append(time.time())
    return images_per_second(times, options.batch, options)


def compare(options, crops, folder, size):
    """Prints both speeds for both strategies on a tower of one size."""
    config = CLIPVisionConfig(**SIZES[size])
    CLIPVisionModel(config).save_pretrained(folder / "tower")
    source, start = folder / "tower" / "model.safetensors", folder / "start.safetensors"
    command = [options.unmask, "import", "--from", "hf-clip", "--input", source, "--output", start]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for strategy in ("ln", "full"):
        mine = ours(options, crops, folder, strategy)
        theirs = pytorchs(options, config, strategy)
        print(f"{size} {strategy:5} unmask {mine:7.2f}   PyTorch {theirs:7.2f}   ratio {mine / theirs:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unmask", required=True, help="the built program")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    where = torch.cuda.get_device_name() if on_gpu else f"{torch.get_num_threads()} threads"
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_crops(folder / "crops", options.batch, options.steps)
        print(f"batch {options.batch}, {where}, images per second")
        for size in SIZES if on_gpu else ["ViT-B/16"]:
            place = folder / size.replace("/", "-")
            place.mkdir()
            compare(options, folder / "crops", place, size)


if __name__ == "__main__":
    main()
