"""Makes geometry.safetensors: similarity transforms to the crop templates, warped crops, and resized pictures.

Points and matrices are f64, pixel (x, y) has its centre at the integer (x, y), matrices [2,3] take picture to crop.

- `landmarks` [12,5,2], `matrices.dfb_256`, `matrices.gend_256`, `matrices.gend_224` [12,2,3], `template.*` [5,2]: the
  least-squares similarity of scikit-image (Umeyama).
- `picture` u8 [90,120,3]; `crop.landmarks` [3,5,2]; `crop.matrices` [3,2,3], `dfb` at 64; `crop.exact` f32 [3,64,64,3]:
  bilinear in f64, the four neighbours outside the picture counting as 0, values 0..255 not rounded; `crop.cv2`: what
  cv2.warpAffine gives, u8. OpenCV 5 equals the exact one rounded; OpenCV 4 rounds coordinates to 1/32 px and does not.
- `resize.KERNEL.48x48`, `resize.KERNEL.224x224`, `resize.KERNEL.60x45` (width x height) [height,width,3] u8: Pillow's
  antialiased bicubic and bilinear of `picture`.
"""

import cv2
import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from skimage.transform import SimilarityTransform

from common import output_argument

SEED = 20263
ARCFACE = [(30.2946, 51.6963), (65.5318, 51.5014), (48.0252, 71.7366), (33.5493, 92.3655), (62.7299, 92.2041)]
DFB = (np.array(ARCFACE) + [8, 0]) / 112
GEND = np.array([(0.34, 0.46), (0.66, 0.46), (0.5, 0.64), (0.37, 0.82), (0.63, 0.82)])
MARGIN_SCALE = 1.3
CROP = 64
# Centre, pixels a unit of the template, and angle of the three faces that are cropped; all crops leave the picture.
CROPPED = [((60, 45), 70, 5), ((50, 48), 110, -20), ((100, 30), 60, 35)]
RESIZED = [(48, 48), (224, 224), (60, 45)]


def template(points, size):
    """Target points in a crop of `size` pixels; points: shares of the side. Margin: DeepfakeBench's img_align_crop."""
    margin = size * (MARGIN_SCALE - 1) / 2
    return (points * size + margin) * size / (size + 2 * margin)


def similarity(source, target):
    """The 2x3 matrix of the least-squares similarity that takes source to target, [5,2] each."""
    return SimilarityTransform.from_estimate(source, target).params[:2]


def face(centre, scale, degrees, noise, generator):
    """Five landmarks: the dfb template turned, `scale` pixels large, moved to `centre`, with noise (share of scale)."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (DFB - 0.5) @ turn.T * scale + centre + noise * scale * generator.standard_normal((5, 2))


def smooth_picture(generator, height=90, width=120):
    """Waves and noise, RGB u8."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 9 + y / 23), np.cos(x / 31 - y / 7), np.sin((x - 60) * (y - 45) / 700)]
    values = 127 + 80 * np.stack(waves, -1) + 15 * generator.standard_normal((height, width, 3))
    return values.clip(0, 255).round().astype(np.uint8)


def exact_warp(picture, matrix, size):
    """Bilinear sampling in f64, [size,size,3], black outside."""
    linear = np.linalg.inv(matrix[:, :2])
    v, u = np.mgrid[0:size, 0:size]
    x, y = np.moveaxis((np.stack([u, v], -1) - matrix[:, 2]) @ linear.T, -1, 0)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    height, width = picture.shape[:2]
    total = np.zeros((size, size, 3))
    for column, across in ((left, 1 - (x - left)), (left + 1, x - left)):
        for row, down in ((top, 1 - (y - top)), (top + 1, y - top)):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            pixels = picture[row.clip(0, height - 1), column.clip(0, width - 1)]
            total += (inside * across * down)[..., None] * pixels
    return total


def transforms(generator):
    """Twelve faces, and the matrices that take them to each template."""
    faces = []
    for _ in range(12):
        centre, scale = generator.uniform(50, 1500, 2), generator.uniform(40, 900)
        faces.append(face(centre, scale, generator.uniform(-60, 60), generator.uniform(0, 0.05), generator))
    tensors = {"landmarks": np.array(faces)}
    for name, points, size in (("dfb_256", DFB, 256), ("gend_256", GEND, 256), ("gend_224", GEND, 224)):
        target = template(points, size)
        print(name, target.round(2).tolist())
        tensors[f"template.{name}"] = target
        tensors[f"matrices.{name}"] = np.array([similarity(landmarks, target) for landmarks in faces])
    return tensors


def main():
    output = output_argument(__doc__).parse_args().output
    generator = np.random.default_rng(SEED)
    tensors = transforms(generator)
    picture = smooth_picture(generator)
    landmarks = [face(centre, scale, degrees, 0.02, generator) for centre, scale, degrees in CROPPED]
    matrices = [similarity(points, template(DFB, CROP)) for points in landmarks]
    warp = [cv2.warpAffine(picture, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR) for matrix in matrices]
    tensors |= {"picture": picture, "crop.landmarks": np.array(landmarks), "crop.matrices": np.array(matrices)}
    tensors["crop.cv2"] = np.array(warp)
    tensors["crop.exact"] = np.array([exact_warp(picture, matrix, CROP) for matrix in matrices], np.float32)
    difference = np.abs(tensors["crop.exact"] - tensors["crop.cv2"])
    print(f"cv2 against exact: mean {difference.mean():.2f}, largest {difference.max():.1f} of 255")
    for kernel in (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR):
        for size in RESIZED:
            resized = Image.fromarray(picture).resize(size, kernel, reducing_gap=None)
            tensors[f"resize.{kernel.name.lower()}.{size[0]}x{size[1]}"] = np.asarray(resized)
    output.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, output / "geometry.safetensors")


if __name__ == "__main__":
    main()
