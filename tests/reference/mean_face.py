"""Prints the mean face of native-trainer/src/augment/mean_face.rs, and makes face_shapes.json to hold it against.

The 68 points of the iBUG annotation (Sagonas et al. 2013) and 13 along the hairline, as MediaPipe's face mesh
(Apache-2.0, the package mediapipe 0.10.14) sees them in LFW photographs, each with a vertex of the mesh that stands for
it. Every face is taken to the bare `dfb` template by the similarity of its five YuNet landmarks; the mean is taken over
faces and mirrored faces. Coordinates are parts of the template's side: x to the right with the middle at 0.5, y down, z
away from the camera. The five landmarks' own means come with them; their depths are those of the mesh around them.

face_shapes.json: 48 photographs that the mean was not taken over: `landmarks` (YuNet, 5 points) and `points` (81) in
pixels of the photograph. Prints how well hulls of the mean face, moved by the five landmarks, cover those of the mesh:
by a similarity, by an affine transform of the plane, and by an affine camera (Mundy & Zisserman 1992), which alone
follows a face that turns to the side.

    pip install --no-deps mediapipe==0.10.14
    pip install absl-py attrs flatbuffers jax matplotlib sounddevice "protobuf<5"
    python tests/reference/mean_face.py
"""

import json

import cv2
import numpy as np
from mediapipe.python.solutions.face_mesh import FaceMesh

from common import output_argument, lfw_photographs, rgb
from yunet_goldens import faces, yunet

PHOTOGRAPHS = 1500
HELD_OUT_EVERY = 25
SURE = 0.9
# ArcFace's points for 112 pixels (Deng et al. 2019), 8 further right, as DeepfakeBench uses them.
ARCFACE = [(30.2946, 51.6963), (65.5318, 51.5014), (48.0252, 71.7366), (33.5493, 92.3655), (62.7299, 92.2041)]
DFB = (np.array(ARCFACE) + [8, 0]) / 112

# For each iBUG point the vertex of the mesh that lies there.
JAW = [127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356]
BROWS = [70, 63, 105, 66, 107, 336, 296, 334, 293, 300]
NOSE = [168, 197, 5, 4, 75, 97, 2, 326, 305]
EYES = [33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380]
MOUTH = [61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87]
# The upper edge of the mesh from the left temple over the forehead to the right one.
HAIRLINE = [162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389]
VERTICES = JAW + BROWS + NOSE + EYES + MOUTH + HAIRLINE

# Where each point goes in a mirror.
MIRROR = np.r_[16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
MIRROR = np.r_[MIRROR, 54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1, 80:67:-1]


def similarity(source, target):
    """The least-squares similarity (Umeyama without reflection) as a complex pair: z -> a z + b."""
    z, w = source @ [1, 1j], target @ [1, 1j]
    centred = z - z.mean()
    a = (np.conj(centred) * w).sum() / (np.abs(centred) ** 2).sum()
    return a, w.mean() - a * z.mean()


def moved(transform, points):
    """Points [n,2] under z -> a z + b."""
    w = transform[0] * (points @ [1, 1j]) + transform[1]
    return np.stack([w.real, w.imag], -1)


def affine(source, target):
    """The least-squares affine map from [5,2] or [5,3] to [5,2], as a function of points."""
    matrix = np.linalg.lstsq(np.c_[source, np.ones(len(source))], target, rcond=None)[0]
    return lambda points: np.c_[points, np.ones(len(points))] @ matrix


def shapes():
    """(five landmarks [5,2], 81 points [81,3]) in pixels of each photograph with one sure face."""
    detector = yunet()
    with FaceMesh(static_image_mode=True, max_num_faces=1, min_detection_confidence=0.5) as mesh:
        for path in lfw_photographs(PHOTOGRAPHS):
            picture = rgb(path)
            found = [face for face in faces(detector, picture) if face["score"] >= SURE]
            answer = mesh.process(picture).multi_face_landmarks
            if len(found) != 1 or not answer:
                continue
            height, width = picture.shape[:2]
            vertices = [(p.x * width - 0.5, p.y * height - 0.5, p.z * width) for p in answer[0].landmark]
            landmarks, points = np.array(found[0]["landmarks"]), np.array(vertices)[VERTICES]
            # Both detectors have to mean the same face.
            distance = np.abs(points[[48, 54], :2] - landmarks[3:]).max()
            if distance < 0.15 * np.linalg.norm(landmarks[1] - landmarks[0]) + 5:
                yield landmarks, points


def mean_face(found):
    """Means over faces and mirrored faces in the template: the five landmarks [5,3] and the points [81,3]."""
    fives, points = [], []
    for landmarks, shape in found:
        transform = similarity(landmarks, DFB)
        five = moved(transform, landmarks)
        aligned = np.c_[moved(transform, shape[:, :2]), shape[:, 2] * abs(transform[0])]
        fives += [five, five[[1, 0, 2, 4, 3]] * [-1, 1] + [1, 0]]
        points += [aligned, aligned[MIRROR] * [-1, 1, 1] + [1, 0, 0]]
    five, mean = np.mean(fives, 0), np.mean(points, 0)
    depth = [mean[36:42, 2].mean(), mean[42:48, 2].mean(), mean[30, 2], mean[48, 2], mean[54, 2]]
    return np.c_[five, depth], mean


def hull(points, side=250):
    """The convex hull of points, filled."""
    return cv2.fillConvexPoly(np.zeros((side, side), np.uint8), cv2.convexHull(points.round().astype(np.int32)), 1)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def print_table(name, points):
    print(f"const {name}: [[f64; 3]; {len(points)}] = [")
    for x, y, z in points:
        print(f"    [{x:.4f}, {y:.4f}, {z:.4f}],")
    print("];")


def main():
    output = output_argument(__doc__).parse_args().output
    found = list(shapes())
    held_out = found[::HELD_OUT_EVERY][:48]
    used = [pair for index, pair in enumerate(found) if index % HELD_OUT_EVERY]
    five, mean = mean_face(used)
    print_table("LANDMARKS", five)
    print_table("POINTS", mean)
    print(f"from {len(used)} faces")
    ways = {
        "similarity": lambda to: moved(similarity(five[:, :2], to), mean[:, :2]),
        "affine": lambda to: affine(five[:, :2], to)(mean[:, :2]),
        "camera": lambda to: affine(five, to)(mean),
    }
    for name, way in ways.items():
        for count in (68, 81):
            scores = [iou(hull(way(to)[:count]), hull(points[:count, :2])) for to, points in held_out]
            print(f"{name}, {count} points: IoU mean {np.mean(scores):.3f}, least {np.min(scores):.3f}")
    shapes_2d = [{"landmarks": a.round(1).tolist(), "points": b[:, :2].round(1).tolist()} for a, b in held_out]
    lines = ",\n".join(json.dumps(shape, separators=(",", ":")) for shape in shapes_2d)
    (output / "face_shapes.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
