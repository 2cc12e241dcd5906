"""Images per second of training, `unmask train` beside PyTorch on the same machine, one after the other.

    pip install -r tests/reference/requirements.txt
    cargo build --release
    python benches/train_speed.py --unmask target/release/unmask

    python benches/train_speed.py --unmask target/release/unmask --model efficientnet --batch 32

    cargo xtask cuda
    python benches/train_speed.py --unmask target/release/unmask --device cuda --batch 64 --steps 40

CLIP: both train layer norms and head (`ln`) and everything (`full`) from the same random weights on the same crops,
without augmentation: ViT-B/16 in f32 on a CPU, ViT-B/16 and ViT-L/14 in bf16 (PyTorch: autocast) on an NVIDIA GPU.
EfficientNet-Lite0: both train everything by the statistics of each batch, PyTorch in either order of channels. Each takes
as many steps as --steps says; the first does not count on a CPU, the first quarter on a GPU, where kernels are compiled
and chosen in the first steps. PyTorch's time has no reading of images in it, ours has.
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

RECIPE = """
name = "speed"
[model]
start = "{start}"
strategy = "{strategy}"
statistics = "{statistics}"
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
    """Random crops, each a video of its own: a training split of `steps` batches, half of them fake, two to validate."""
    generator = np.random.default_rng(0)
    for split, count in (("train", batch * steps // 2), ("val", 1)):
        for label in ("real", "fake"):
            for index in range(count):
                place = folder / split / label / f"{split}{label}{index}"
                place.mkdir(parents=True)
                pixels = generator.integers(0, 256, (224, 224, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / "0.png", compress_level=1)


def ours(options, crops, folder, strategy, statistics):
    """Images per second of unmask, from the detector in `folder`."""
    recipe, start = folder / f"{strategy}.toml", folder / "start.safetensors"
    recipe.write_text(RECIPE.format(start=start, strategy=strategy, statistics=statistics, batch=options.batch))
    out = folder / strategy
    command = [options.unmask, "train", "--config", recipe, "--data", crops, "--aligned", "--out", out]
    subprocess.run([*command, "--device", options.device], check=True, stdout=subprocess.DEVNULL)
    measures = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    times = [measure["time_s"] for measure in measures if measure["kind"] == "step"]
    return images_per_second(times, options.batch, options)


def pytorchs(options, network, trained, make_pixels):
    """The same for PyTorch: `network` makes two logits of pixels."""
    device = torch.device(options.device)
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    labels = torch.arange(options.batch, device=device) % 2
    times = []
    for _ in range(options.steps):
        pixels = make_pixels().to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            loss = torch.nn.functional.cross_entropy(network(pixels).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # Reading the loss waits for the device, as unmask does for its metrics.
        loss.item()
        times.append(time.time())
    return images_per_second(times, options.batch, options)


def pytorchs_clip(options, config, strategy):
    """Images per second of a CLIP tower with a head."""
    from transformers import CLIPVisionModel

    device = torch.device(options.device)
    tower, head = CLIPVisionModel(config).to(device), torch.nn.Linear(config.hidden_size, 2).to(device)
    for name, parameter in tower.named_parameters():
        parameter.requires_grad = strategy == "full" or "norm" in name
    trained = [p for p in [*tower.parameters(), *head.parameters()] if p.requires_grad]

    def network(pixels):
        return head(torch.nn.functional.normalize(tower(pixels).pooler_output.float(), dim=-1))

    shape = (options.batch, 3, config.image_size, config.image_size)
    return pytorchs(options, network, trained, lambda: torch.randn(shape))


def import_start(options, source, kind, folder):
    """Makes a detector of a checkpoint."""
    command = [options.unmask, "import", "--from", kind, "--input", source, "--output", folder / "start.safetensors"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def report(name, mine, theirs):
    print(f"{name:32} unmask {mine:7.2f}   PyTorch {theirs:7.2f}   ratio {mine / theirs:.2f}")


def compare_efficientnet(options, crops, folder):
    """Prints both speeds for EfficientNet-Lite0."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    torch.save(network.state_dict(), folder / "start.pth")
    import_start(options, folder / "start.pth", "efficientnet-lite0", folder)
    mine = ours(options, crops, folder, "full", "batch")
    network._fc = torch.nn.Linear(network._fc.in_features, 2)
    for name, layout in (("first", torch.contiguous_format), ("last", torch.channels_last)):
        network = network.to(options.device, memory_format=layout).train()
        shape = (options.batch, 3, 224, 224)
        pixels = lambda: torch.randn(shape).to(memory_format=layout)
        report(f"EfficientNet-Lite0, channels {name}", mine, pytorchs(options, network, network.parameters(), pixels))


def compare_clip(options, crops, folder, size):
    """Prints both speeds for both strategies on a tower of one size."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(**SIZES[size])
    CLIPVisionModel(config).save_pretrained(folder / "tower")
    import_start(options, folder / "tower" / "model.safetensors", "hf-clip", folder)
    for strategy in ("ln", "full"):
        mine = ours(options, crops, folder, strategy, "stored")
        report(f"{size} {strategy}", mine, pytorchs_clip(options, config, strategy))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unmask", required=True, help="the built program")
    parser.add_argument("--model", choices=("clip", "efficientnet"), default="clip")
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
        if options.model == "efficientnet":
            compare_efficientnet(options, folder / "crops", folder)
            return
        for size in SIZES if on_gpu else ["ViT-B/16"]:
            place = folder / size.replace("/", "-")
            place.mkdir()
            compare_clip(options, folder / "crops", place, size)


if __name__ == "__main__":
    main()
