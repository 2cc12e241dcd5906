"""How time and memory of `unmask` grow: with frames, video length, faces, batch and model.

    pip install matplotlib==3.11.2
    cargo build --release
    python benches/growth.py --unmask target/release/unmask --figure docs/images/growth.svg

Needs ffmpeg. Videos are made of `demo/real.mp4`: 1280 × 720 pixels, h264, one face or as many as are asked for side by side.
Everything runs several times in turn, and the least counts, since other work on the machine only adds. Memory is the most
that the program itself had at a time. The exponent is that of the power law through the last two points: 1 is linear, less is better.
"""

import argparse
import json
import math
import os
import subprocess
import tempfile
import time
from pathlib import Path

SAMPLE = Path(__file__).resolve().parents[1] / "demo" / "real.mp4"
ENCODER = ["-an", "-c:v", "libx264", "-preset", "medium", "-crf", "21", "-pix_fmt", "yuv420p"]
MODELS = ["efficientnet-lite0", "efficientnet-b0", "efficientnet-b4", "xception", "clip-vit-b-16", "clip-vit-l-14"]
# What a curve is drawn over, and its points.
FRAMES = [8, 16, 32, 64, 128]
SECONDS = [5, 10, 20, 40, 80]
FACES = [1, 2, 4, 8]
BATCHES = [1, 2, 4, 8, 16]


def clip(folder, seconds, faces=1):
    """A video of so many seconds with so many faces in each frame."""
    path = Path(folder) / f"{seconds}_{faces}.mp4"
    columns = math.ceil(math.sqrt(faces * 16 / 9))
    rows = math.ceil(faces / columns)
    side = min(1280 // columns, 720 // rows) // 2 * 2
    parts = "".join(f"[face{index}]" for index in range(faces))
    places = "|".join(f"{index % columns * side}_{index // columns * side}" for index in range(faces))
    stacked = f"xstack=inputs={faces}:layout={places}:fill=gray," if faces > 1 else ""
    graph = f"scale={side}:{side}:flags=lanczos,split={faces}{parts};{parts}{stacked}pad=1280:720:(ow-iw)/2:(oh-ih)/2:gray,fps=25"
    source = ["-stream_loop", "-1", "-i", str(SAMPLE), "-filter_complex", graph, "-t", str(seconds)]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *source, *ENCODER, str(path)], check=True)
    return path


def run(command):
    """Seconds by the clock, the most MB of memory, and what was printed."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        if status != 0:
            raise SystemExit(f"{' '.join(map(str, command))} failed; run it by itself")
        output.seek(0)
        return seconds, usage.ru_maxrss / 1024, output.read().decode()


def scored(program, path, *options):
    seconds, memory, output = run([program, "score", path, "--json", "--device", "cpu", *options])
    return seconds, memory, json.loads(output)["video"]["frames_sampled"]


def computed(program, model, batch):
    """Seconds of a batch in the network alone, by the program's own count, and memory."""
    command = [program, "bench", "--only-model", "--json", "--device", "cpu", "--architecture", model, "--batch", str(batch)]
    _, memory, output = run([*command, "--repeat", "3"])
    row = json.loads(output)[-1]
    return row["milliseconds"] * batch / 1000, memory, row


def curves(program, folder, largest):
    """Each curve: what grows, and a way to measure each of its points."""
    plain = {seconds: clip(folder, seconds) for seconds in SECONDS}
    crowds = {faces: clip(folder, 10, faces) for faces in FACES}
    models = [model for model in MODELS if largest or model != "clip-vit-l-14"]
    return {
        "frames of a video of 20 s": {n: lambda n=n: scored(program, plain[20], "--frames", str(n)) for n in FRAMES},
        "seconds of a video, 32 frames": {n: lambda n=n: scored(program, plain[n]) for n in SECONDS},
        "faces in each of 32 frames": {n: lambda n=n: scored(program, crowds[n], "--faces", "all") for n in FACES},
        "frames in a batch, ViT-B/16": {n: lambda n=n: computed(program, "clip-vit-b-16", n) for n in BATCHES},
        "model, a frame": {name: lambda name=name: computed(program, name, 1) for name in models},
    }


def measured(points, rounds):
    """The least seconds and megabytes of each point."""
    found = {}
    for _ in range(rounds):
        for name, measure in points.items():
            seconds, memory, _ = measure()
            before = found.get(name, (math.inf, math.inf))
            found[name] = (min(before[0], seconds), min(before[1], memory))
    return found


def exponent(found, index):
    """That of the power law through the last two points; nothing where points are names."""
    (one, other) = list(found)[-2:]
    if isinstance(one, str):
        return "–"
    return f"{math.log(found[other][index] / found[one][index]) / math.log(other / one):.2f}"


def table(title, found):
    print(f"\n| {title} | " + " | ".join(map(str, found)) + " | exponent |")
    print("|---" * (len(found) + 2) + "|")
    for name, index, digits in (("seconds", 0, 3), ("memory, MB", 1, 0)):
        values = " | ".join(f"{value[index]:.{digits}f}" for value in found.values())
        print(f"| {name} | {values} | {exponent(found, index)} |")


def figure(path, results):
    """A curve of time and one of memory for each: linear axes, over which linear growth is straight, and grey text without
    a background, which fits light and dark pages."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams.update({"svg.hashsalt": "growth", "font.size": 8, "text.color": "#808080"})
    for part in ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"):
        matplotlib.rcParams[part] = "#808080"
    counted = {title: found for title, found in results.items() if not isinstance(next(iter(found)), str)}
    picture, axes = pyplot.subplots(2, len(counted), figsize=(2.4 * len(counted), 4), layout="constrained", sharex="col")
    for column, (title, found) in zip(axes.T, counted.items()):
        for cell, index, unit, colour in ((column[0], 0, "s", "#0072b2"), (column[1], 1, "MB", "#d55e00")):
            values = [value[index] for value in found.values()]
            cell.plot(list(found), values, marker="o", markersize=3, color=colour)
            cell.set_xlim(0)
            cell.set_ylim(0, max(values) * 1.1)
            cell.set_ylabel(unit)
            cell.patch.set_visible(False)
            cell.spines[["top", "right"]].set_visible(False)
        column[1].set_xlabel(title)
    picture.savefig(path, transparent=True, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unmask", required=True, help="the built program")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each point (default: %(default)s)")
    parser.add_argument("--largest", action="store_true", help="ViT-L/14, too, which takes 3 GB of memory")
    parser.add_argument("--figure", help="an SVG of the curves to write")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for title, points in curves(options.unmask, folder, options.largest).items():
            results[title] = measured(points, options.rounds)
            table(title, results[title])
    if options.figure:
        figure(options.figure, results)


if __name__ == "__main__":
    main()
