"""Makes fancy_pca.safetensors: FancyPCA as albumentations 1.1.0 computes it, the release that DeepfakeBench trains with.

That release must come before any other in the path, together with what it imports, for instance:

    pip install --no-deps --target OLD albumentations==1.1.0 qudida==0.0.4
    PYTHONPATH=OLD python fancy_pca_goldens.py

An eigenvector may point either way, and which way decides what is added to a channel beside the others. LAPACK's choice follows
from its steps alone; here the red parts of the eigenvectors, the largest eigenvalue's first, are made positive, positive and
negative, as LAPACK has them (or all three the other way) for most faces.

- `picture` and `skin` u8 [40,56,3]; `factors` [F]; `NAME.I`: that image with the factor of that index.
- `NAME.shift` [3]: levels that a factor of 1 adds to red, green and blue, f32.
"""

from unittest import mock

import albumentations
import numpy as np
from albumentations.augmentations.functional import fancy_pca
from safetensors.numpy import save_file

from common import output_argument
from geometry_goldens import smooth_picture

SEED = 20265
HEIGHT, WIDTH = 40, 56
FACTORS = np.array([0.1, -0.1, 0.037, -0.23, 0.9], np.float32)
SIGNS = np.array([-1, 1, 1])  # Smallest eigenvalue first, as `eigh` gives them.
exact = np.linalg.eigh


def turned(matrix):
    """Eigenvectors that point the ways of `SIGNS`."""
    values, vectors = exact(matrix)
    return values, vectors * np.where(vectors[0] * SIGNS < 0, -1, 1)


def shift(image):
    """What is added for a factor of 1, by the formula of the release."""
    values, vectors = turned(np.cov(image.reshape(-1, 3) / 255, rowvar=False))
    return (vectors[:, ::-1].T @ values[::-1] * 255).astype(np.float32)


def main():
    output = output_argument(__doc__).parse_args().output
    assert albumentations.__version__ == "1.1.0", albumentations.__version__
    generator = np.random.default_rng(SEED)
    picture = smooth_picture(generator, HEIGHT, WIDTH)
    tint = smooth_picture(generator, HEIGHT, WIDTH).astype(np.float64)
    light = np.linspace(0.1, 1, WIDTH)[None, :, None] * np.linspace(0.5, 1, HEIGHT)[:, None, None]
    # Colours of skin in more or less light, which hardly differ but in brightness.
    skin = light * (224, 172, 140) + (tint - tint.mean()) / 8
    images = {"picture": picture, "skin": skin.clip(0, 255).astype(np.uint8)}
    tensors = {"factors": FACTORS}
    with mock.patch("numpy.linalg.eigh", turned):
        for name, image in images.items():
            tensors |= {name: image, f"{name}.shift": shift(image)}
            # As the Rust side reads them: the factors are numbers of 32 bits.
            tensors |= {f"{name}.{index}": fancy_pca(image, float(factor)) for index, factor in enumerate(FACTORS)}
    output.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, output / "fancy_pca.safetensors")
    for name, value in tensors.items():
        print(name, value.dtype, value.shape, value if value.size < 9 else "")


if __name__ == "__main__":
    main()
