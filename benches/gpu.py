"""Checks and times everything on an NVIDIA GPU, in a few minutes, from a program that was built elsewhere.

    cargo xtask cuda                                  # on any machine; the GPU's needs no Rust
    pip install -r tests/reference/requirements.txt
    python benches/gpu.py --unmask target/release/unmask --out gpu-results

One after the other, each within a time limit, and each counted by itself should another fail:

- every kind of detector, tiny, on the GPU beside the CPU: outputs and steps of training (tests/reference/gpu_parity.py --tiny);
- inference of ViT-B/16 and ViT-L/14 in bf16, PyTorch (SDPA, torch.compile) in turn with `unmask bench --bf16`, for growing
  batches until memory is full; each one's best batch counts;
- steps of training beside PyTorch (benches/train_speed.py --device cuda), layer norms alone and everything;
- how long training waits for images, from the log of the same runs.

Prints one line a check and one table, and writes both to --out. `--only` names parts; `--device cpu` and small --batches try the
script without a GPU.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARITY = HERE.parent / "tests" / "reference" / "gpu_parity.py"
# By the names of `unmask bench --architecture`: timm's.
TOWERS = {"clip-vit-b-16": "vit_base_patch16_clip_224", "clip-vit-l-14": "vit_large_patch14_clip_224"}
PARTS = ("parity", "inference", "training")


class Results:
    """What was found, on the screen and in files as soon as it is."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows = []

    def add(self, row):
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        (self.folder / "results.json").write_text(json.dumps(self.rows, indent=1))


def limited(command, seconds, log):
    """The exit status of a command, or what ended it; its output goes to `log` as it comes."""
    started = time.time()
    with open(log, "w") as output:
        try:
            status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, timeout=seconds).returncode
            ended = "passed" if status == 0 else f"failed with {status}"
        except subprocess.TimeoutExpired:
            ended = f"ran past {seconds} s"
        except OSError as error:
            ended = str(error)
    return ended, round(time.time() - started, 1)


def parity(options, results):
    """Whether the GPU computes what the CPU does."""
    log = results.folder / "parity.txt"
    folder = results.folder / "parity"
    command = [sys.executable, PARITY, "--unmask", options.unmask, "--folder", folder, "--tiny", "--jobs", "8", "--limit", "300"]
    ended, seconds = limited(command, options.limit, log)
    results.add({"check": "every kind, tiny", "ended": ended, "seconds": seconds, "log": log.name})


def ours(options, tower, batch):
    """Images per second of `unmask bench`; None where it fails, as for want of memory."""
    command = [options.unmask, "bench", "--architecture", tower, "--only-model", "--json", "--bf16"]
    command += ["--device", options.device, "--batch", str(batch), "--repeat", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=options.limit)
    if done.returncode != 0:
        print(f"unmask, {tower}, batch {batch}: {done.stderr.strip().splitlines()[-1:]}", flush=True)
        return None
    return 1000 / json.loads(done.stdout)[-1]["milliseconds"]


def pytorchs(options, network, batch):
    """Images per second of a compiled PyTorch network in bf16; None where memory is full."""
    import torch

    pixels = torch.zeros(batch, 3, 224, 224, device=options.device, dtype=torch.bfloat16)
    wait = torch.cuda.synchronize if options.device.startswith("cuda") else lambda: None
    times = []
    try:
        with torch.inference_mode():
            for _ in range(13):
                started = time.perf_counter()
                network(pixels)
                wait()
                times.append(time.perf_counter() - started)
    except torch.OutOfMemoryError:
        return None
    # The first ones compile.
    return batch / sorted(times[3:])[5]


def inference(options, results):
    """Both at each batch, in turn; then each one's best."""
    import timm
    import torch

    for tower, name in TOWERS.items():
        network = timm.create_model(name, num_classes=2).eval().to(options.device, torch.bfloat16)
        network = torch.compile(network, dynamic=False)
        best = [0.0, 0.0]
        for batch in options.batches:
            row = {"tower": tower, "batch": batch}
            found = [ours(options, tower, batch), pytorchs(options, network, batch)]
            row["unmask"], row["PyTorch"] = (value and round(value, 1) for value in found)
            results.add(row)
            best = [max(one, other or 0.0) for one, other in zip(best, found)]
            if not any(found):
                break
        ratio = best[0] / best[1] if best[1] else None
        results.add({"tower": tower, "best": True, "unmask": best[0], "PyTorch": best[1], "ratio": ratio, "aim": 0.9})


def training(options, results):
    """Images per second of steps, by the script that says so of CPUs as well."""
    log = results.folder / "training.txt"
    script = HERE / "train_speed.py"
    command = [sys.executable, script, "--unmask", options.unmask, "--device", "cuda", "--batch", "64", "--steps", "40"]
    if options.device == "cpu":
        command = [sys.executable, script, "--unmask", options.unmask, "--batch", "2", "--steps", "3"]
    ended, seconds = limited(command, options.limit, log)
    results.add({"check": "steps of training", "ended": ended, "seconds": seconds, "log": log.name})
    lines = log.read_text().splitlines()
    for line in lines:
        if "ratio" in line or "waiting for images" in line:
            print(line.split("\r")[-1], flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unmask", required=True, type=Path, help="the built program")
    parser.add_argument("--out", default="gpu-results", help="a folder for results and logs (default: %(default)s)")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script (default: %(default)s)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 64, 128, 256], help="of inference")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run")
    parser.add_argument("--limit", type=int, default=240, help="seconds a part may take (default: %(default)s)")
    options = parser.parse_args()
    options.unmask = options.unmask.resolve()
    results = Results(options.out)
    for part in options.only:
        try:
            {"parity": parity, "inference": inference, "training": training}[part](options, results)
        # Another part may still tell something.
        except Exception as error:
            results.add({"check": part, "ended": f"{type(error).__name__}: {error}"})
    failed = [row for row in results.rows if row.get("ended", "passed") != "passed"]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
