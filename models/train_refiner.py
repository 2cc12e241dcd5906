"""Trains models/landmark_refiner.safetensors, the network that puts the finder's five points where YuNet sees them.

Data: Labeled Faces in the Wild (deep-funneled) in ../shared/data/faces/lfw. The people of the 300 photographs in
tests/goldens/yunet.json take no part; of the others 400 people (one photograph each) choose nothing but are printed
after every epoch, and all photographs of the rest train. The clips take no part.

Teacher: YuNet (yunet_n_dynamic.onnx through OpenCV). Its points move by 6 % of the eye distance when the photograph
moves by a few pixels and by 7.5 % when it is mirrored, so the label is the mean over the eight views in VIEWS; photographs
whose views scatter by more than SCATTER are left out.

Input of the network: a crop of SIDE pixels, aligned by a similarity onto DeepfakeBench's template with MARGIN, RGB,
(level - 127.5) / 128. Output: what to add to the template's points to reach the face's, in parts of the crop's side.
In training the similarity is that of the true points, disturbed at random, more than CenterFace's errors disturb it.

Result after 20 epochs: 3.5 % of the eye distance from the label on people that did not train, disturbed views.

    python models/train_refiner.py             # two shared CPU cores: 6 minutes for the teacher, 6 of training
    python models/train_refiner.py --goldens   # only tests/goldens/refiner.safetensors, from the weights that are there
"""

import argparse
import hashlib
import json
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.append(str(REPOSITORY / "tests" / "reference"))
from common import GOLDENS, SHARED_DATA, rgb  # noqa: E402

WEIGHTS = REPOSITORY / "models" / "landmark_refiner.safetensors"
YUNET = SHARED_DATA / "face-detectors" / "yunet_n_dynamic.onnx"
SEED = 20261
CHECK_PEOPLE = 400

SIDE, MARGIN = 78, 1.25
# ARCFACE of core/src/face/alignment.rs, in parts of the side.
ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]) / 112
TEMPLATE = (ARCFACE + (MARGIN - 1) / 2) / MARGIN
# Crops are kept with all their surroundings at twice the network's scale, and shrunk by averaging, as in Rust.
STORED, TWICE = 240, 2 * SIDE
MIRRORED = [1, 0, 2, 4, 3]

# The middle of an LFW photograph, which holds the face.
MIDDLE = slice(29, 221)
# Views for the teacher: scale, mirrored or not, shift right and down in pixels.
VIEWS = [(1, 0, 0, 0), (1, 0, 11, 5), (1, 1, 0, 0), (1, 1, 6, 19), (0.85, 1, 3, 9), (1.25, 0, 0, 0), (1.25, 1, 7, 2), (1.6, 0, 5, 3)]
SCATTER = 0.12

BATCH, EPOCHS, RATE = 64, 20, 3e-3


class Refiner(nn.Module):
    """Four convolutions of 4 x 4 with stride 2 and PReLU, two dense layers. [n, 3, 78, 78] to [n, 10]: x, y of each point."""

    def __init__(self):
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 16, 4, 2), nn.PReLU(16)
        self.conv2, self.prelu2 = nn.Conv2d(16, 32, 4, 2), nn.PReLU(32)
        self.conv3, self.prelu3 = nn.Conv2d(32, 48, 4, 2), nn.PReLU(48)
        self.conv4, self.prelu4 = nn.Conv2d(48, 64, 4, 2), nn.PReLU(64)
        self.dense5, self.prelu5 = nn.Linear(576, 96), nn.PReLU(96)
        self.dense6 = nn.Linear(96, 10)

    def forward(self, x):
        x = self.prelu1(self.conv1(x))
        x = self.prelu2(self.conv2(x))
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.conv4(x))
        # Rows, columns, channels: the order in which the Rust code holds them.
        x = x.permute(0, 2, 3, 1).flatten(1)
        x = self.prelu5(self.dense5(x))
        return self.dense6(x)


def people():
    """(people that train, people that are only looked at), neither among the test photographs."""
    tested = {Path(p["path"]).parent.name for p in json.loads((GOLDENS / "yunet.json").read_text()) if p["frame"] is None}
    rest = sorted(f.name for f in (SHARED_DATA / "faces" / "lfw").iterdir() if f.is_dir() and f.name not in tested)
    random.Random(SEED).shuffle(rest)
    return sorted(rest[CHECK_PEOPLE:]), sorted(rest[:CHECK_PEOPLE])


def photographs(names, most=None):
    return [path for name in names for path in sorted((SHARED_DATA / "faces" / "lfw" / name).glob("*.jpg"))[:most]]


def points_of(detector, picture, view):
    """YuNet's points [5, 2] on the face nearest to the middle of an RGB picture seen as `view`, or None."""
    scale, mirrored, right, down = view
    height, width = picture.shape[:2]
    seen = picture[:, ::-1] if mirrored else picture
    seen = cv2.resize(seen, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    seen = cv2.copyMakeBorder(seen, down, 0, right, 0, cv2.BORDER_CONSTANT)
    detector.setInputSize(seen.shape[1::-1])
    _, faces = detector.detect(np.ascontiguousarray(seen[..., ::-1]))
    if faces is None:
        return None
    centres = (faces[:, :2] + faces[:, 2:4] / 2 - [right, down]) / scale - [width / 2, height / 2]
    points = (faces[np.argmin((centres**2).sum(1)), 4:14].reshape(5, 2) - [right, down]) / scale
    if mirrored:
        points = (points * [-1, 1] + [width, 0])[MIRRORED]
    return points


def eyes(points):
    return np.linalg.norm(points[..., 0, :] - points[..., 1, :], axis=-1)


def similarity(source, target):
    """The 2 x 3 matrix of the similarity with the least squares from points [5, 2] to points [5, 2]."""
    centre, goal = source.mean(0), target.mean(0)
    z = (source - centre) @ [1, 1j]
    turn = np.conj(z) @ ((target - goal) @ [1, 1j]) / (np.conj(z) @ z)
    a, b = turn.real, turn.imag
    linear = np.array([[a, -b], [b, a]])
    return np.hstack([linear, (goal - linear @ centre)[:, None]])


def moved(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


def taught(path):
    """(stored crop of u8, the label's points in its pixels) of a photograph, or None where the teacher is unsure."""
    cv2.setNumThreads(1)
    if not hasattr(taught, "detector"):
        taught.detector = cv2.FaceDetectorYN.create(str(YUNET), "", (192, 192), 0.6, 0.3)
    picture = rgb(path)
    views = [points_of(taught.detector, picture[MIDDLE, MIDDLE], view) for view in VIEWS]
    if any(view is None for view in views):
        return None
    # YuNet counts from the corner of a pixel (its mirrored points agree under width - x), we from the centre.
    views = np.array(views) + MIDDLE.start - 0.5
    points = views.mean(0)
    if np.linalg.norm(views - points, axis=-1).mean() > SCATTER * eyes(points):
        return None
    matrix = similarity(points, TEMPLATE * TWICE + (STORED - TWICE) / 2)
    crop = cv2.warpAffine(picture, matrix, (STORED, STORED), flags=cv2.INTER_LINEAR)
    return crop, moved(matrix, points).astype(np.float32)


def lessons(paths):
    with ProcessPoolExecutor(2) as pool:
        pairs = [pair for pair in pool.map(taught, paths, chunksize=64) if pair is not None]
    crops, points = zip(*pairs)
    return np.array(crops), np.array(points)


def disturbed(rng):
    """A similarity near the identity about the middle of the crop, as 3 x 3: rotation, scale, shift."""
    angle = np.clip(rng.normal(0, 5), -15, 15)
    scale = np.exp(np.clip(rng.normal(0, 0.07), -0.2, 0.2))
    matrix = cv2.getRotationMatrix2D((SIDE, SIDE * 1.1), angle, scale)
    matrix[:, 2] += np.clip(rng.normal(0, 0.03, 2), -0.08, 0.08) * TWICE
    return matrix


def view(crop, points, rng=None):
    """The network's input [SIDE, SIDE, 3] of u8 and the answer [5, 2] for a stored crop; disturbed if there is an rng."""
    offset = np.array([[1, 0, (TWICE - STORED) / 2], [0, 1, (TWICE - STORED) / 2]])
    if rng is not None and rng.random() < 0.5:
        crop, points = crop[:, ::-1], (points * [-1, 1] + [STORED - 1, 0])[MIRRORED]
    matrix = offset if rng is None else disturbed(rng) @ np.vstack([offset, [0, 0, 1]])
    seen = cv2.warpAffine(crop, matrix, (TWICE, TWICE), flags=cv2.INTER_LINEAR)
    points = moved(matrix, points)
    if rng is not None:
        seen = spoiled(seen, rng)
    # Averaging pairs of pixels moves centres by half a pixel of the larger image.
    return cv2.resize(seen, (SIDE, SIDE), interpolation=cv2.INTER_AREA), ((points + 0.5) / 2 - 0.5) / SIDE - TEMPLATE


def spoiled(image, rng):
    """Other light, colours, sharpness, compression."""
    if rng.random() < 0.2:
        sigma = rng.uniform(0.5, 2.5)
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if rng.random() < 0.2:
        small = int(TWICE * rng.uniform(0.25, 0.7))
        image = cv2.resize(cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (TWICE, TWICE))
    if rng.random() < 0.2:
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))])
        image = cv2.imdecode(code, cv2.IMREAD_COLOR)
    if rng.random() < 0.8:
        levels = (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.3))
        tints = np.exp(rng.normal(0, 0.06, 3))
        levels = levels[:, None] * tints * np.exp(rng.normal(0, 0.2)) + rng.normal(0, 0.06)
        image = cv2.LUT(image, (levels.clip(0, 1) * 255).astype(np.uint8)[None])
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(2, 12), image.shape)
        image = (image + noise).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.05:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return image


def tensors(views):
    """Images [n, 3, SIDE, SIDE] and answers [n, 10]."""
    images, answers = zip(*views)
    images = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)
    return (images.float() - 127.5) / 128, torch.from_numpy(np.array(answers, np.float32)).flatten(1)


def distance(found, answers):
    """Mean distance of points, in parts of the template's eye distance."""
    return float((found - answers).view(-1, 5, 2).norm(dim=2).mean()) / eyes(TEMPLATE)


class Lessons(torch.utils.data.Dataset):
    """Whole batches of disturbed views, in another order every epoch; the same for the same SEED."""

    def __init__(self, crops, points):
        self.crops, self.points, self.epoch = crops, points, 0

    def __len__(self):
        return len(self.crops) // BATCH

    def __getitem__(self, step):
        order = np.random.default_rng([SEED, self.epoch]).permutation(len(self.crops))
        rng = np.random.default_rng([SEED, self.epoch, step])
        chosen = order[step * BATCH : (step + 1) * BATCH]
        return tensors([view(self.crops[i], self.points[i], rng) for i in chosen])


def train(crops, points, check):
    """The rate rises for a twentieth of the steps and falls to zero along a cosine."""
    network = Refiner().to(memory_format=torch.channels_last)
    print(sum(p.numel() for p in network.parameters()), "parameters")
    nn.init.zeros_(network.dense6.weight)
    nn.init.zeros_(network.dense6.bias)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    lessons = Lessons(crops, points)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, EPOCHS * len(lessons), pct_start=0.05)
    start = time.time()
    for epoch in range(EPOCHS):
        lessons.epoch, losses = epoch, []
        network.train()
        for images, answers in torch.utils.data.DataLoader(lessons, batch_size=None, num_workers=2, prefetch_factor=4):
            # Between L1 and L2, with the bend at a tenth of the eye distance.
            loss = nn.functional.smooth_l1_loss(network(images), answers, beta=0.025)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        network.eval()
        with torch.no_grad():
            found = distance(network(check[0]), check[1])
        print(f"epoch {epoch}: loss {np.mean(losses):.6f}, people not trained on {found:.4f}, {time.time() - start:.0f} s", flush=True)
    return network.eval()


def goldens(network):
    """Two seeded inputs [2, SIDE, SIDE, 3] (waves and noise) and the answers."""
    generator = torch.Generator().manual_seed(SEED)
    place = torch.linspace(0, 1, SIDE)
    phase, pitch = torch.rand(2, 2, 1, 1, 3, generator=generator)
    waves = 0.5 + 0.5 * torch.sin(6.28 * (phase + (1 + 2 * pitch) * place[:, None] + (2 - pitch) * place[:, None, None]))
    levels = (255 * (0.7 * waves + 0.3 * torch.rand(waves.shape, generator=generator))).round()
    images = (levels - 127.5) / 128
    with torch.no_grad():
        offsets = network(images.permute(0, 3, 1, 2))
    save_file({"input": images.contiguous(), "offsets": offsets.contiguous()}, GOLDENS / "refiner.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goldens", action="store_true", help="only write the goldens, from the weights that are there")
    parser.add_argument("--cache", type=Path, help="file (.npz) for the teacher's answers, read if it exists")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="weights file (default: %(default)s)")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if arguments.goldens:
        network = Refiner().eval()
        network.load_state_dict(load_file(arguments.output))
        return goldens(network)
    if arguments.cache and arguments.cache.exists():
        crops, points, check_crops, check_points = (np.load(arguments.cache)[f"arr_{i}"] for i in range(4))
    else:
        training, checking = people()
        crops, points = lessons(photographs(training))
        check_crops, check_points = lessons(photographs(checking, 1))
        if arguments.cache:
            np.savez(arguments.cache, crops, points, check_crops, check_points)
    print(len(crops), "photographs train,", len(check_crops), "are looked at", flush=True)
    rng = np.random.default_rng(SEED)
    check = tensors([view(c, p, rng) for c, p in zip(check_crops, check_points)])
    network = train(crops, points, check)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, arguments.output)
    print(hashlib.sha256(arguments.output.read_bytes()).hexdigest(), arguments.output.name)
    goldens(network)


if __name__ == "__main__":
    main()
