"""Paths, pictures and arguments shared by these scripts."""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDENS = REPOSITORY / "tests" / "goldens"
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


def output_argument(description, default=GOLDENS):
    """A parser with the one option every script has: `--output`, the folder to write to."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--output", type=Path, default=default, help="folder to write to (default: %(default)s)")
    return parser


def clip_frames(path, count):
    """`count` frames of a clip, evenly spaced: yields (index, RGB array [height,width,3] of u8).

    index = floor(i(n-1)/(count-1)) of the n frames that decode.

    Every decoded frame counts once: none is repeated or dropped to keep a rate. A frame asked for twice comes once.
    """
    width, height, total = clip_shape(path)
    wanted = {i * (total - 1) // (count - 1) for i in range(count)}
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as ffmpeg:
        for index in range(total):
            pixels = ffmpeg.stdout.read(width * height * 3)
            if index in wanted:
                yield index, np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def clip_shape(path):
    """Width, height and the number of frames that decode."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-count_frames"]
    command += ["-show_entries", "stream=width,height,nb_read_frames", "-of", "json", str(path)]
    stream = json.loads(subprocess.check_output(command))["streams"][0]
    return stream["width"], stream["height"], int(stream["nb_read_frames"])


def lfw_photographs(count=300):
    """`count` photographs: of the sorted people every k-th, k = people // count, and the first picture of each."""
    people = sorted(folder for folder in (SHARED_DATA / "faces" / "lfw").iterdir() if folder.is_dir())
    step = max(1, len(people) // count)
    return [sorted(person.glob("*.jpg"))[0] for person in people[::step][:count]]


def clips(folder="clips"):
    """All clips in a folder of the shared data, sorted by name."""
    return sorted(path for path in (SHARED_DATA / folder).iterdir() if path.suffix in (".mp4", ".mkv"))


def rgb(path):
    """A photograph as an RGB array [height,width,3] of u8."""
    return np.asarray(Image.open(path).convert("RGB"))
