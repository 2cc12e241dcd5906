"""Makes centerface.safetensors: a seeded input and what onnxruntime answers with CenterFace's weights rounded to f16.

Tensors: `input` [2, 64, 96, 3], levels 0..255 of RGB (u8); `heat` [2, 16, 24, 1] before the sigmoid, `sizes`, `offsets` [2, 16, 24, 2]
and `landmarks` [2, 16, 24, 10], each x before y. It also prints how far the rounding moves the answers.
"""

import numpy as np
from onnx import numpy_helper
from safetensors.numpy import save_file

from centerface import INPUT, OUTPUTS, convolutions, model, session
from common import output_argument

SEED, SHAPE = 20262, (2, 64, 96, 3)
# Share of the smooth pattern in the input; the rest is noise. A pattern gives activations of ordinary size.
SMOOTH_SHARE = 0.8


def pattern(generator):
    """Levels 0..255 of smooth waves and noise."""
    images, height, width, channels = SHAPE
    rows, columns = np.linspace(0, 1, height)[None, :, None, None], np.linspace(0, 1, width)[None, None, :, None]
    phase, pitch = generator.random((2, images, 1, 1, channels))
    waves = 0.5 + 0.5 * np.sin(6.28 * (phase + (1 + 3 * pitch) * columns + (2 - pitch) * rows))
    return np.round(255 * (SMOOTH_SHARE * waves + (1 - SMOOTH_SHARE) * generator.random(SHAPE))).astype(np.uint8)


def rounded(graph):
    """The graph with batch norms merged and the weights rounded to f16, as in models/centerface.safetensors."""
    initializers = {tensor.name: tensor for tensor in graph.graph.initializer}
    norms = {node.input[0]: node for node in graph.graph.node if node.op_type == "BatchNormalization"}
    for node, weight, bias in convolutions(graph):
        set_values(initializers[node.input[1]], weight.astype(np.float16))
        norm = norms.get(node.output[0])
        if norm is None:
            continue
        # What is left of the norm adds the bias: its scale and deviation are 1 and its mean is 0.
        epsilon = next(a.f for a in norm.attribute if a.name == "epsilon")
        for name, values in zip(norm.input[1:], (np.ones_like(bias), bias, np.zeros_like(bias), np.ones_like(bias) - epsilon)):
            set_values(initializers[name], values)
    return graph


def set_values(tensor, values):
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), tensor.name))


def main():
    output = output_argument(__doc__).parse_args().output
    images = pattern(np.random.default_rng(SEED))
    feed = {INPUT: np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)}
    exact = session(model()).run(list(OUTPUTS), feed)
    answers = session(rounded(model())).run(list(OUTPUTS), feed)
    print("largest change by rounding", [float(np.abs(a - b).max()) for a, b in zip(exact, answers)])
    heat, sizes, offsets, points = (np.ascontiguousarray(answer.transpose(0, 2, 3, 1)) for answer in answers)
    heat = np.log(heat.astype(np.float64) / (1 - heat)).astype(np.float32)
    points = points.reshape(*points.shape[:3], 5, 2)[..., ::-1].reshape(points.shape)
    tensors = {"input": images, "heat": heat, "sizes": sizes[..., ::-1], "offsets": offsets[..., ::-1], "landmarks": points}
    output.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, output / "centerface.safetensors")


if __name__ == "__main__":
    main()
