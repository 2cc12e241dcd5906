"""Makes yunet.json: the faces that YuNet (OpenCV's FaceDetectorYN) sees in 300 LFW photographs and frames of clips: 8 of each
in `clips`, the first and the last of each in `clips-real`.

Each picture goes in at its own size; faces with a score of 0.6 or more after suppression at IoU 0.3 are kept. Pixel
values are not stored. Coordinates are rounded to 0.1 px, scores to 0.001. Landmarks run left eye, right eye, nose, left
and right mouth corner as they appear in an upright picture, image-left first, which is YuNet's own order.
"""

import json

import cv2
import numpy as np

from common import SHARED_DATA, clip_frames, clips, lfw_photographs, output_argument, rgb

# With the file made for 640x640 FaceDetectorYN takes other sizes as well, and answers as with the dynamic one.
MODEL = SHARED_DATA / "face-detectors" / "yunet_n_dynamic.onnx"
SCORE, SUPPRESSION = 0.6, 0.3
FRAMES = {"clips": 8, "clips-real": 2}


def yunet():
    """The detector; `faces` sets its input size."""
    return cv2.FaceDetectorYN.create(str(MODEL), "", (320, 320), SCORE, SUPPRESSION)


def faces(detector, picture):
    """The faces of an RGB picture, best score first."""
    height, width = picture.shape[:2]
    detector.setInputSize((width, height))
    _, rows = detector.detect(np.ascontiguousarray(picture[..., ::-1]))
    rows = [] if rows is None else sorted(rows.tolist(), key=lambda row: -row[14])
    return [
        {
            "box": [round(v, 1) for v in row[:4]],
            "landmarks": [[round(row[4 + 2 * i], 1), round(row[5 + 2 * i], 1)] for i in range(5)],
            "score": round(row[14], 3),
        }
        for row in rows
    ]


def pictures():
    """All pictures of the comparison: (path relative to data, frame index or None, RGB array)."""
    for path in lfw_photographs():
        yield str(path.relative_to(SHARED_DATA)), None, rgb(path)
    for folder, frames in FRAMES.items():
        for path in clips(folder):
            for index, picture in clip_frames(path, frames):
                yield str(path.relative_to(SHARED_DATA)), index, picture


def main():
    output = output_argument(__doc__).parse_args().output
    detector = yunet()
    lines = [
        json.dumps({"path": path, "frame": frame, "faces": faces(detector, picture)}, separators=(",", ":"))
        for path, frame, picture in pictures()
    ]
    output.mkdir(parents=True, exist_ok=True)
    (output / "yunet.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
