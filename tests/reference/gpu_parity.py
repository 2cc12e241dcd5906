"""Compares every kind of detector on an NVIDIA GPU with the CPU: outputs, and steps of training. Run by hand.

    pip install -r tests/reference/requirements.txt
    cargo xtask cuda
    python tests/reference/gpu_parity.py --unmask target/release/unmask --folder /tmp/gpu

Makes detectors of true size with random weights and runs each on the same pictures on both devices: `unmask forward`, whose
features and logits are compared, and `unmask train`, whose losses are, step by step, and by how much and where the weights
went. In f32 the GPU multiplies in TF32, whose 11 bits leave 5e-4 of an output; in bf16 it is held against f32 with what rounding costs.
The CPU's own arithmetic is held against PyTorch by the goldens. Writes about 10 GB; exits with 1 above a limit.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

SEED = 20264
STEPS = 3

RECIPE = """
name = "{name}"
[model]
start = "{start}"
strategy = "{strategy}"
statistics = "{statistics}"
[data]
frames_per_video = {frames}
validation_frames = {frames}
[augmentation]
flip = 0.0
rotate.probability = 0.0
blur.probability = 0.0
brightness_contrast.probability = 0.0
jpeg.probability = 0.0
[optimizer]
learning_rate = 1e-4
[run]
epochs = 1
batch = {batch}
precision = "{precision}"
checkpoint_every = 1000000
"""


@dataclass(frozen=True)
class Limits:
    """The largest errors: of outputs and losses relative to their size, and of where the weights went (1 - cosine)."""

    output: float = 1e-3
    loss: float = 1e-3
    # With norms by the statistics of eight pictures: 3.2e-3 on an H200 after three steps, by weights that go the same way.
    loss_of_batch: float = 5e-3
    direction: float = 2e-2
    loss_bf16: float = 3e-2


@dataclass(frozen=True)
class Kind:
    """A kind of detector: how it is imported, and what is trained of it."""

    name: str
    checkpoint: str
    options: tuple = ()
    strategies: tuple = ("ln",)
    frames: int = 1
    statistics: str = "stored"


FRAMES = 4
CLIPS = ("--clip-length", str(FRAMES), "--time-module")
KINDS = [
    Kind("efficientnet-lite0", "lite0", strategies=("full",), statistics="batch"),
    Kind("vit-b-16", "b16", strategies=("ln", "full")),
    Kind("vit-b-16, two layers", "b16", ("--head-kind", "2mlp"), ("head",)),
    Kind("stan, attention", "b16", (*CLIPS, "attention"), ("stan",), frames=FRAMES),
    Kind("stan, convolution", "b16", (*CLIPS, "conv"), ("stan",), frames=FRAMES),
    Kind("vit-l-14", "l14"),
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unmask", type=Path, required=True, help="the program, built with CUDA")
    parser.add_argument("--folder", type=Path, required=True, help="where detectors and runs are written")
    parser.add_argument("--device", default="cuda", help="what is compared with the CPU (default: %(default)s)")
    parser.add_argument("--only", default="", help="kinds whose name contains this")
    return parser.parse_args()


def run(*command):
    """Runs a command; its last lines on standard error are the reason where it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(" | ".join(done.stderr.strip().splitlines()[-8:]))


def checkpoint(name, folder):
    """A checkpoint with random weights, and what `import` calls its format."""
    generator = torch.Generator().manual_seed(SEED)
    if name == "lite0":
        from efficientnet_lite_pytorch import EfficientNet

        torch.manual_seed(SEED)
        path = folder / "lite0.pth"
        torch.save(EfficientNet.from_name("efficientnet-lite0").state_dict(), path)
        return path, "efficientnet-lite0"
    from transformers import CLIPVisionConfig, CLIPVisionModel

    from clip_goldens import randomise
    from real_size_parity import B16, L14

    tower = CLIPVisionModel(CLIPVisionConfig(image_size=224, **{"b16": B16, "l14": L14}[name]))
    randomise(tower, generator)
    tower.save_pretrained(folder / name)
    return folder / name / "model.safetensors", "hf-clip"


def make_crops(folder, frames, batch):
    """Random pictures, each video a few of them: `STEPS` batches to train on and two videos to validate on."""
    generator = np.random.default_rng(SEED)
    for split, count in (("train", batch * STEPS // 2), ("val", 1)):
        for label in ("real", "fake"):
            for index in range(count):
                place = folder / split / label / f"{split}{label}{index}"
                place.mkdir(parents=True, exist_ok=True)
                for frame in range(frames):
                    coarse = generator.integers(0, 256, (14, 14, 3), dtype=np.uint8)
                    Image.fromarray(coarse).resize((224, 224), Image.BICUBIC).save(place / f"{frame}.png")


def relative(ours, theirs):
    """max |a - b| / max |b|, infinite for what is no number."""
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    return error if np.isfinite(error) else float("inf")


def forward_error(options, kind, detector, folder):
    """The relative errors of features and logits."""
    shape = (2, kind.frames, 3, 224, 224) if kind.frames > 1 else (8, 3, 224, 224)
    save_file({"pixel_values": torch.randn(shape, generator=torch.Generator().manual_seed(1))}, folder / "in.safetensors")
    outputs = {}
    for device in ("cpu", options.device):
        output = folder / f"{device}.safetensors"
        paths = ("--model", detector, "--input", folder / "in.safetensors", "--output", output)
        run(options.unmask, "forward", *paths, "--device", device)
        outputs[device] = load_file(output)
    pairs = [[outputs[device][name] for device in (options.device, "cpu")] for name in ("features", "logits")]
    return max(relative(*pair) for pair in pairs)


def train(options, kind, strategy, detector, folder, device, precision="f32"):
    """The losses of the steps, and where the weights went."""
    batch = 2 if kind.frames > 1 else 8
    crops = folder / "crops"
    if not crops.exists():
        make_crops(crops, kind.frames, batch)
    out = Path(tempfile.mkdtemp(prefix=f"{strategy}-{device}-{precision}-", dir=folder)) / "run"
    recipe = out.parent / "recipe.toml"
    settings = dict(name="run", start=detector, strategy=strategy, statistics=kind.statistics)
    recipe.write_text(RECIPE.format(frames=kind.frames, batch=batch, precision=precision, **settings))
    command = (options.unmask, "train", "--config", recipe, "--data", crops, "--aligned", "--out", out)
    run(*command, "--device", device)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = torch.tensor([line["loss"] for line in lines if line["kind"] == "step"])
    before, after = load_file(detector), load_file(out / "detector.safetensors")
    moved = {name: after[name].float() - before[name].float() for name in before}
    return losses, torch.cat([change.flatten() for change in moved.values() if change.abs().max() > 0])


def training_errors(options, kind, strategy, detector, folder):
    """The relative errors of the losses in f32 and bf16, and how far apart the weights went in f32."""
    arguments = (options, kind, strategy, detector, folder)
    losses, moved = train(*arguments, "cpu")
    ours, went = train(*arguments, options.device)
    direction = 1 - torch.nn.functional.cosine_similarity(moved.double(), went.double(), dim=0).item() if moved.shape == went.shape else 2.0
    rounded = train(*arguments, options.device, "bf16")[0] if options.device != "cpu" else losses
    return relative(ours, losses), direction, relative(rounded, losses)


def main():
    options = arguments()
    sys.path.insert(0, str(Path(__file__).parent))
    limits, too_far = Limits(), []

    def judge(what, measured):
        shown = "  ".join(f"{name} {value:.1e}" for name, value, _ in measured)
        print(f"{what:34} {shown}  ({time.monotonic() - started:.0f} s)", flush=True)
        too_far.extend(f"{what}: {name}" for name, value, limit in measured if not value <= limit)

    checkpoints = {}
    for kind in KINDS:
        if options.only not in kind.name:
            continue
        started = time.monotonic()
        folder = options.folder / kind.name.replace(", ", "-").replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            if kind.checkpoint not in checkpoints:
                checkpoints[kind.checkpoint] = checkpoint(kind.checkpoint, options.folder)
            source, format = checkpoints[kind.checkpoint]
            detector = folder / "detector.safetensors"
            run(options.unmask, "import", "--from", format, "--input", source, "--output", detector, *kind.options)
            judge(kind.name, [("outputs", forward_error(options, kind, detector, folder), limits.output)])
            for strategy in kind.strategies:
                loss, direction, bf16 = training_errors(options, kind, strategy, detector, folder)
                most = limits.loss_of_batch if kind.statistics == "batch" else limits.loss
                of_f32 = [("losses", loss, most), ("direction", direction, limits.direction)]
                judge(f"{kind.name}, {strategy}", [*of_f32, ("losses in bf16", bf16, limits.loss_bf16)])
        except RuntimeError as error:
            print(f"{kind.name}: {error}", flush=True)
            too_far.append(kind.name)
    if too_far:
        raise SystemExit(f"too far from the CPU, or failed: {'; '.join(too_far)}")


if __name__ == "__main__":
    main()
