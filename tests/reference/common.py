"""Paths, pictures and arguments shared by these scripts, and facenet-pytorch's MTCNN without its heavy dependencies."""

import argparse
import importlib.util
import json
import subprocess
import sys
import types
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


def facenet_mtcnn():
    """Imports `facenet_pytorch.models.mtcnn` (PNet, RNet, ONet) and its `detect_face`.

    The package's `__init__` pulls in torchvision and requests, which only its recognition half needs. Its folder is
    therefore put in place as a bare package, and torchvision's `batched_nms`, the one function that detection uses,
    is given here.
    """
    spec = importlib.util.find_spec("facenet_pytorch")
    if spec is None:
        raise SystemExit("facenet-pytorch is missing: pip install --no-deps facenet-pytorch==2.6.0")
    package = types.ModuleType("facenet_pytorch")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["facenet_pytorch"] = package
    for name in ("torchvision", "torchvision.transforms", "torchvision.ops", "torchvision.ops.boxes"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["torchvision.transforms"].functional = types.ModuleType("torchvision.transforms.functional")
    sys.modules["torchvision.ops.boxes"].batched_nms = batched_nms
    from facenet_pytorch.models import mtcnn
    from facenet_pytorch.models.utils import detect_face

    return mtcnn, detect_face


def batched_nms(boxes, scores, groups, threshold):
    """Greedy non-maximum suppression within each group, as `torchvision.ops.boxes.batched_nms`.

    boxes [n,4] as x1,y1,x2,y2 with area (x2-x1)(y2-y1), scores [n], groups [n]. Returns kept indices, best score first.
    """
    import torch

    order = torch.argsort(scores, descending=True, stable=True)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(order) > 0:
        best, rest = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[rest, :2])
        high = torch.minimum(boxes[best, 2:4], boxes[rest, 2:4])
        overlap = (high - low).clamp(min=0).prod(dim=1)
        iou = overlap / (area[best] + area[rest] - overlap)
        order = rest[~((iou > threshold) & (groups[rest] == groups[best]))]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.long)


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


def clips():
    """All clips of the shared data, sorted by name."""
    return sorted(path for path in (SHARED_DATA / "clips").iterdir() if path.suffix in (".mp4", ".mkv"))


def rgb(path):
    """A photograph as an RGB array [height,width,3] of u8."""
    return np.asarray(Image.open(path).convert("RGB"))
