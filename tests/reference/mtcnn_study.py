"""Measures MTCNN, as facenet-pytorch runs it, against YuNet: the pictures of `yunet_goldens.py`, 32 frames a clip.

    python tests/reference/mtcnn_study.py --min-face 40 --factor 0.709 --thresholds 0.7 0.8 0.95

Prints the share of YuNet's sure faces (score >= 0.9, both sides >= 40 px) that MTCNN finds (IoU >= 0.4), the mean
distance of each landmark in eye distances, its mean offset along and across the eye line, and the number of faces that
YuNet does not know.
With --mirror it prints the same for YuNet on the mirrored picture: what two good detectors can agree on.
"""

import argparse

import numpy as np
import torch

from common import facenet_mtcnn
from yunet_goldens import faces, pictures, yunet

SURE_SCORE, SURE_SIDE, FOUND_IOU, KNOWN_IOU = 0.9, 40, 0.4, 0.3
FRAMES = 32


def corners(box):
    """x1,y1,x2,y2 of a box x,y,w,h."""
    return np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]])


def iou(box, boxes):
    """IoU of one box with boxes [n,4], as corners."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    overlap = np.prod((high - low).clip(0), axis=1)
    return overlap / (np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - overlap)


def mtcnn_detector(min_face, factor, thresholds):
    """A function picture -> (boxes [n,4] as corners, landmarks [n,5,2])."""
    mtcnn, detect = facenet_mtcnn()
    networks = [build().eval() for build in (mtcnn.PNet, mtcnn.RNet, mtcnn.ONet)]

    @torch.no_grad()
    def find(picture):
        try:
            boxes, points = detect.detect_face(picture, min_face, *networks, thresholds, factor, "cpu")
        except RuntimeError:  # facenet-pytorch joins an empty list where a stage leaves no box
            return np.zeros((0, 4)), np.zeros((0, 5, 2))
        boxes, points = (np.array(found[0], float) for found in (boxes, points))
        return boxes.reshape(-1, 5)[:, :4], points.reshape(-1, 5, 2)

    return find


def mirrored_yunet(detector):
    """The same function by YuNet on the mirrored picture, taken back."""

    def find(picture):
        found = faces(detector, picture[:, ::-1])
        found = [face for face in found if face["score"] >= SURE_SCORE - 0.1]
        last = picture.shape[1] - 1
        boxes = np.array([corners(face["box"]) for face in found]).reshape(-1, 4)[:, [2, 1, 0, 3]]
        points = np.array([face["landmarks"] for face in found]).reshape(-1, 5, 2)[:, [1, 0, 2, 4, 3]]
        return boxes * [-1, 1, -1, 1] + [last, 0, last, 0], points * [-1, 1] + [last, 0]

    return find


def offsets(points, truth):
    """points - truth, [5,2], along and across the eye line of truth, in its eye distances."""
    eyes = truth[1] - truth[0]
    distance = np.linalg.norm(eyes)
    along = eyes / distance
    return (points - truth) / distance @ np.array([along, [-along[1], along[0]]]).T


def compare(find):
    detector = yunet()
    sure, unknown, differences = 0, {"photographs": 0, "clips": 0, "no-face clip": 0}, []
    for path, frame, picture in pictures(FRAMES):
        expected = faces(detector, picture)
        boxes, points = find(picture)
        known = np.zeros(len(boxes), bool)
        for face in expected:
            overlap = iou(corners(face["box"]), boxes)
            known |= overlap >= KNOWN_IOU
            if face["score"] < SURE_SCORE or min(face["box"][2:]) < SURE_SIDE:
                continue
            sure += 1
            if overlap.max(initial=0) >= FOUND_IOU:
                differences.append(offsets(points[overlap.argmax()], np.array(face["landmarks"])))
        kind = "photographs" if frame is None else "no-face clip" if "noface" in path else "clips"
        unknown[kind] += int((~known).sum())
    distances = np.linalg.norm(differences, axis=2)
    print(f"found {len(distances)} of {sure} = {len(distances) / sure:.2%}; unknown to YuNet: {unknown}")
    high = np.percentile(distances.mean(1), 95)
    print(f"distance in eye distances: mean {distances.mean():.2%}, 95 % of the faces below {high:.2%}")
    print("each point", distances.mean(0).round(4).tolist())
    print("offset along, across the eye line", np.mean(differences, axis=0).round(4).tolist())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--min-face", type=float, default=40)
    parser.add_argument("--factor", type=float, default=0.709)
    parser.add_argument("--thresholds", type=float, nargs=3, default=[0.7, 0.8, 0.95], metavar=("P", "R", "O"))
    parser.add_argument("--mirror", action="store_true", help="YuNet on mirrored pictures in place of MTCNN")
    options = parser.parse_args()
    if options.mirror:
        compare(mirrored_yunet(yunet()))
    else:
        compare(mtcnn_detector(options.min_face, options.factor, options.thresholds))


if __name__ == "__main__":
    main()
