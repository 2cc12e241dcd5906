"""Compares every kind of detector on an NVIDIA GPU with the CPU: outputs, and steps of training. Run by hand.

    pip install -r tests/reference/requirements.txt
    cargo xtask cuda
    python tests/reference/gpu_parity.py --unmask target/release/unmask --folder /tmp/gpu
    python tests/reference/gpu_parity.py --unmask target/release/unmask --folder /tmp/gpu --tiny --jobs 8 --limit 300

Makes detectors (gpu_kinds.py) and runs each on the same pictures on both devices: `unmask forward`, whose features and logits
are compared, and `unmask train`, whose losses are, step by step, and by how much and where the weights went. Of true size, with
random weights, there are some kinds; with --tiny all of them, from tests/goldens, in f32 alone, which needs no more than torch,
numpy, safetensors and Pillow. In f32 the GPU multiplies in TF32, whose 11 bits leave 5e-4 of an output; in bf16 it is held
against f32 with what rounding costs. The CPU's own arithmetic is held against PyTorch by the goldens. Prints a line a kind, when
it is done. True size writes about 10 GB; exits with 1 where a kind is above a limit, fails or lasts too long.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from gpu_kinds import SEED, TINY, TRUE_SIZE, input_of, make_detector

RECIPE = """
name = "run"
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
learning_rate = {rate}
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
class Scale:
    """What differs between detectors of true size and tiny ones."""

    kinds: list
    limits: Limits
    steps: int
    rate: float
    with_bf16: bool


TRUE = Scale(TRUE_SIZE, Limits(), steps=3, rate=1e-4, with_bf16=True)
# Sums of few terms level out less of TF32's rounding: on a CPU, weights and pixels rounded to it change the TimeSformer's logits by
# 1.3e-2, second losses by up to 8e-3, and where weights go by up to 2e-2. Few weights take large steps, so that the second loss
# says something about the gradients of the first.
TINY_LIMITS = Limits(output=3e-2, loss=2e-2, loss_of_batch=2e-2, direction=0.1)
SMALL = Scale(TINY, TINY_LIMITS, steps=2, rate=1e-3, with_bf16=False)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unmask", type=Path, required=True, help="the program, built with CUDA")
    parser.add_argument("--folder", type=Path, required=True, help="where detectors and runs are written")
    parser.add_argument("--device", default="cuda", help="what is compared with the CPU (default: %(default)s)")
    parser.add_argument("--tiny", action="store_true", help="tiny detectors of every kind in the place of those of true size")
    parser.add_argument("--jobs", type=int, default=1, help="kinds at the same time (default: %(default)s)")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="the longest that a kind may last (default: any)")
    parser.add_argument("--only", default="", help="kinds whose name contains this")
    return parser.parse_args()


def make_crops(folder, side, frames, videos):
    """Random pictures, each video a few of them: so many videos of each label to train on, and one to validate on."""
    generator = np.random.default_rng(SEED)
    for split, count in (("train", videos), ("val", 1)):
        for label in ("real", "fake"):
            for index in range(count):
                place = folder / split / label / f"{split}{label}{index}"
                place.mkdir(parents=True, exist_ok=True)
                for frame in range(frames):
                    coarse = generator.integers(0, 256, (14, 14, 3), dtype=np.uint8)
                    Image.fromarray(coarse).resize((side, side), Image.BICUBIC).save(place / f"{frame}.png")


def relative(ours, theirs):
    """max |a - b| / max |b|, infinite for what is no number."""
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    return error if np.isfinite(error) else float("inf")


class Comparison:
    """One kind on both devices, all of it within the time there is."""

    def __init__(self, options, scale, kind):
        self.options, self.scale, self.kind = options, scale, kind
        self.ends = time.monotonic() + options.limit if options.limit else None
        self.folder = kind.folder(options.folder)
        # What an earlier run left would be taken for crops and detectors of this one.
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.detector = make_detector(kind, options.folder, self.run)
        self.side, self.frames = input_of(self.detector)
        self.batch = 2 if self.frames > 1 else 8
        make_crops(self.folder / "crops", self.side, self.frames, self.batch * scale.steps // 2)

    def run(self, *command):
        """Runs the program; its last lines on standard error are the reason where it fails."""
        command = [str(part) for part in (self.options.unmask, *command)]
        left = None if self.ends is None else max(self.ends - time.monotonic(), 0.0)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=left)
        except subprocess.TimeoutExpired:
            device = command[command.index("--device") + 1] if "--device" in command else "cpu"
            raise RuntimeError(f"killed after {self.options.limit:g} s, in `{command[1]}` on {device}") from None
        if done.returncode != 0:
            raise RuntimeError(" | ".join(done.stderr.strip().splitlines()[-8:]) or f"exit status {done.returncode}")

    def forward_error(self):
        """The relative errors of features and logits."""
        shape = (2, self.frames) if self.frames > 1 else (8,)
        pixels = torch.randn((*shape, 3, self.side, self.side), generator=torch.Generator().manual_seed(1))
        save_file({"pixel_values": pixels}, self.folder / "in.safetensors")
        found = []
        for role, device in (("ours", self.options.device), ("cpu", "cpu")):
            output = self.folder / f"{role}.safetensors"
            paths = ("--model", self.detector, "--input", self.folder / "in.safetensors", "--output", output)
            self.run("forward", *paths, "--device", device)
            found.append(load_file(output))
        return max(relative(*[outputs[name] for outputs in found]) for name in ("features", "logits"))

    def train(self, strategy, device, precision="f32"):
        """The losses of the steps, and where the weights went."""
        place = Path(tempfile.mkdtemp(prefix=f"{strategy}-{precision}-", dir=self.folder))
        out, recipe = place / "run", place / "recipe.toml"
        of_kind = dict(start=self.detector.resolve(), strategy=strategy, statistics=self.kind.statistics)
        of_run = dict(frames=self.frames, batch=self.batch, rate=self.scale.rate, precision=precision)
        recipe.write_text(RECIPE.format(**of_kind, **of_run))
        settings = [part for setting in self.kind.settings for part in ("--set", setting)]
        paths = ("--config", recipe, "--data", self.folder / "crops", "--aligned", "--out", out)
        self.run("train", *paths, *settings, "--device", device)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        losses = torch.tensor([line["loss"] for line in lines if line["kind"] == "step"])
        if len(losses) != self.scale.steps:
            raise RuntimeError(f"trained {len(losses)} steps in the place of {self.scale.steps}")
        before, after = load_file(self.detector), load_file(out / "detector.safetensors")
        moved = {name: after[name].float() - before[name].float() for name in before}
        return losses, torch.cat([change.flatten() for change in moved.values() if change.abs().max() > 0])

    def training_errors(self, strategy):
        """The relative errors of the losses in f32 and bf16, and how far apart the weights went in f32."""
        limits = self.scale.limits
        losses, moved = self.train(strategy, "cpu")
        ours, went = self.train(strategy, self.options.device)
        direction = 2.0
        if moved.shape == went.shape:
            direction = 1 - torch.nn.functional.cosine_similarity(moved.double(), went.double(), dim=0).item()
        most = limits.loss_of_batch if self.kind.statistics == "batch" else limits.loss
        errors = [("losses", relative(ours, losses), most), ("direction", abs(direction), limits.direction)]
        if self.scale.with_bf16 and self.options.device != "cpu":
            rounded, _ = self.train(strategy, self.options.device, "bf16")
            errors.append(("bf16", relative(rounded, losses), limits.loss_bf16))
        return errors


def compare(options, scale, kind):
    """What is said of a kind, and whether all of it is within the limits."""
    started, parts, good = time.monotonic(), [], True
    try:
        comparison = Comparison(options, scale, kind)
        measured = [("outputs", lambda: [("outputs", comparison.forward_error(), scale.limits.output)])]
        measured += [(strategy, lambda s=strategy: comparison.training_errors(s)) for strategy in kind.strategies]
        for what, measure in measured:
            errors = measure()
            marked = [f"{name} {value:.1e}{'' if value <= limit else ' OFF'}" for name, value, limit in errors]
            parts.append(("" if what == "outputs" else f"{what}: ") + " ".join(marked))
            good &= all(value <= limit for _, value, limit in errors)
    # Whatever is wrong with one kind, the others are compared.
    except Exception as error:
        parts.append(f"FAILED: {error}" if isinstance(error, RuntimeError) else f"FAILED: {error!r}")
        good = False
    return f"{kind.name:21} {'  '.join(parts)}  ({time.monotonic() - started:.0f} s)", good


def main():
    options = arguments()
    scale = SMALL if options.tiny else TRUE
    kinds = [kind for kind in scale.kinds if options.only in kind.name]
    options.folder.mkdir(parents=True, exist_ok=True)
    off = []
    with ThreadPoolExecutor(options.jobs) as pool:
        running = {pool.submit(compare, options, scale, kind): kind for kind in kinds}
        for done in as_completed(running):
            said, good = done.result()
            print(said, flush=True)
            if not good:
                off.append(running[done].name)
    if off or not kinds:
        sys.exit(f"too far from the CPU, or failed: {'; '.join(off)}" if off else f"no kind is named {options.only!r}")


if __name__ == "__main__":
    main()
