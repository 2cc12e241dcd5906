"""Makes augment.safetensors: image augmentations by OpenCV, albumentations, Pillow, SciPy and scikit-image.

All of `picture` u8 [40,56,3] or of `mask` f32 [40,56], with the parameters that stand in the names or are given here:

- `blur.3`, `.5`, `.7`, `.11`: cv2.GaussianBlur of that side, deviation 0 (OpenCV's own choice).
- `rgb_shift` (12, -20, 7), `brightness_contrast` (0.1, -0.08), `sharpen` (0.3, 0.7): albumentations with these fixed.
- `bilateral.RADIUS`: cv2.bilateralFilter within that radius, deviations 40 levels and RADIUS pixels.
- `hsv.shifts` [6,3]: degrees, and levels of saturation and value; `hsv.exact` [6,20,28,3] f32: OpenCV's conversion on
  floating-point images, there and back, of every second pixel and row, `hsv.picture`.
- `rotate.mirrored`, `rotate.black`: cv2.warpAffine by 10 degrees about the centre; `affine`: albumentations' Affine with
  scale (0.95, 1.04) and a shift of (2, -2) pixels, mirrored. `affine.points` [5,2] and where they go, `affine.moved`.
- `downscale.2.5`: Pillow, bilinear; `decimate.2`, `decimate.4`: cv2.resize, nearest and then linear.
- `jpeg.Q`: Pillow's compression with 4:2:0 at quality Q; `jpeg.picture` u8 [72,56,3], smoother.
- `hull.points` [4,14,2], `hull.masks` [4,40,56]: scikit-image's points_in_poly on SciPy's convex hull.
- `mask.displacement` [2,40,56] right and down: albumentations' elastic fields (SciPy, alpha 50, sigma 7);
  `mask.displaced`: cv2.remap, linear, the edge replicated. `mask.resized` [50,47]: cv2.resize.
- `mask.eroded.SIDE`: where cv2.GaussianBlur of that side leaves 1, as Shiohara & Yamasaki shrink a mask;
  `mask.blurred.25.31`: cv2.GaussianBlur with side 25 and deviation 31.
"""

import io

import albumentations
import cv2
import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter
from scipy.spatial import ConvexHull
from skimage.measure import points_in_poly

from common import output_argument
from geometry_goldens import smooth_picture

SEED = 20264
HEIGHT, WIDTH = 40, 56


def colours(picture):
    """Shifts of levels, of hue and of brightness."""
    shift = albumentations.RGBShift((12, 12), (-20, -20), (7, 7), p=1)
    contrast = albumentations.RandomBrightnessContrast((0.1, 0.1), (-0.08, -0.08), p=1)
    yield "rgb_shift", shift(image=picture)["image"]
    yield "brightness_contrast", contrast(image=picture)["image"]
    shifts = np.array([(0, 0, 0), (40, 0, 0), (-75, 30, 0), (170, -60, 25), (0.6, 0.3, -0.3), (0, 90, -40)], np.float32)
    picture = np.ascontiguousarray(picture[::2, ::2])
    yield "hsv.picture", picture
    shifted = []
    for hue, saturation, value in shifts:
        hsv = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + hue) % 360
        hsv[..., 1:] = (hsv[..., 1:] + np.array([saturation, value]) / 255).clip(0, 1)
        shifted.append(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255)
    yield "hsv.shifts", shifts
    yield "hsv.exact", np.array(shifted, np.float32)


def filters(picture):
    """Blurring, sharpening and loss of resolution."""
    for side in (3, 5, 7, 11):
        yield f"blur.{side}", cv2.GaussianBlur(picture, (side, side), 0)
    for radius in (1, 3):
        bilateral = cv2.bilateralFilter(picture, 2 * radius + 1, 40, radius, borderType=cv2.BORDER_REFLECT_101)
        yield f"bilateral.{radius}", bilateral
    yield "sharpen", albumentations.Sharpen((0.3, 0.3), (0.7, 0.7), p=1)(image=picture)["image"]
    small = Image.fromarray(picture).resize((int(WIDTH / 2.5), int(HEIGHT / 2.5)), Image.Resampling.BILINEAR)
    yield "downscale.2.5", np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
    for factor in (2, 4):
        small = cv2.resize(picture, (WIDTH // factor, HEIGHT // factor), interpolation=cv2.INTER_NEAREST)
        yield f"decimate.{factor}", cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


def placements(picture):
    """Turning, scaling and shifting."""
    centre = ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, 10, 1)
    for name, border in (("mirrored", cv2.BORDER_REFLECT_101), ("black", cv2.BORDER_CONSTANT)):
        yield f"rotate.{name}", cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=1, borderMode=border)
    scale = {"x": (0.95, 0.95), "y": (1.04, 1.04)}
    shift = {"x": (2, 2), "y": (-2, -2)}
    affine = albumentations.Affine(scale, translate_px=shift, border_mode=cv2.BORDER_REFLECT_101, p=1)
    yield "affine", affine(image=picture)["image"]
    # With a mirrored border albumentations mirrors the points as well.
    keypoints = albumentations.KeypointParams(format="xy", remove_invisible=False)
    affine = albumentations.Compose([albumentations.Affine(scale, translate_px=shift, p=1)], keypoint_params=keypoints)
    points = np.array([(14.0, 10.0), (40.0, 10.0), (28.0, 20.5), (17.0, 31.0), (38.5, 30.0)], np.float32)
    yield "affine.points", points
    yield "affine.moved", np.array(affine(image=picture, keypoints=points)["keypoints"], np.float32)


def compressed(picture):
    """JPEG with colour at half the resolution."""
    yield "jpeg.picture", picture
    for quality in (40, 75, 95):
        data = io.BytesIO()
        Image.fromarray(picture).save(data, "JPEG", quality=quality, subsampling="4:2:0")
        yield f"jpeg.{quality}", np.asarray(Image.open(data))


def masks(generator):
    """Hulls, and what is done to a mask."""
    sets = [generator.uniform(low, high, (14, 2)) * [WIDTH, HEIGHT] for low, high in ((0.1, 0.9), (0.3, 0.5))]
    sets += [generator.uniform(-0.2, 1.2, (14, 2)) * [WIDTH, HEIGHT], np.floor(sets[0])]
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    places = np.stack([x, y], -1).reshape(-1, 2)
    inside = [points_in_poly(places, points[ConvexHull(points).vertices]) for points in sets]
    yield "hull.points", np.array(sets, np.float32)
    yield "hull.masks", np.array(inside, np.uint8).reshape(-1, HEIGHT, WIDTH)
    mask = (np.hypot((x - 27) / 21, (y - 20) / 15) < 1).astype(np.float32)
    yield "mask", mask
    fields = [gaussian_filter(generator.uniform(-1, 1, (HEIGHT, WIDTH)), 7) * 50 for _ in range(2)]
    right, down = np.array(fields, np.float32)
    yield "mask.displacement", np.array([right, down])
    to = [(grid + field).astype(np.float32) for grid, field in ((x, right), (y, down))]
    displaced = cv2.remap(mask, *to, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    yield "mask.displaced", displaced
    yield "mask.resized", cv2.resize(mask, (47, 50))
    for side in (5, 13):
        blurred = cv2.GaussianBlur(mask.astype(np.float64), (side, side), 0)
        yield f"mask.eroded.{side}", (blurred > 1 - 1e-9).astype(np.float32)
    yield "mask.blurred.25.31", cv2.GaussianBlur(mask, (25, 25), 31)


def main():
    output = output_argument(__doc__).parse_args().output
    generator = np.random.default_rng(SEED)
    picture = smooth_picture(generator, HEIGHT, WIDTH)
    # Edges and flat colours, where kernels and rounding differ most.
    picture[8:20, 34:50] = (230, 30, 60)
    picture[25:29, 5:25] = (5, 250, 128)
    smooth = cv2.GaussianBlur(smooth_picture(generator, 72, 56), (9, 9), 0)
    tensors = {"picture": picture, **dict(colours(picture)), **dict(filters(picture)), **dict(placements(picture))}
    tensors |= {**dict(compressed(smooth)), **dict(masks(generator))}
    output.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, output / "augment.safetensors")
    for name, value in tensors.items():
        print(name, value.dtype, value.shape)


if __name__ == "__main__":
    main()
