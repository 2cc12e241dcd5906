"""Makes a detector file whose linear layers have weights of 8-bit integers, for benchmarks: as `unmask quantize --dtype int8` stores
them, but without the faces on which that measures what the integers change.

    pip install numpy safetensors
    python benches/integers.py target/vit-b16/detector.safetensors target/vit-b16/int8.safetensors
"""

import argparse

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

# As `MULTIPLIED` in the core.
LARGEST = 64


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", help="a detector file in f32")
    parser.add_argument("output", help="the file to write")
    arguments = parser.parse_args()
    tensors = {}
    with safe_open(arguments.detector, "np") as file:
        metadata = file.metadata()
        for name in file.keys():
            tensors[name] = file.get_tensor(name)
    for name in [name for name in tensors if name.startswith("tower.layers") and tensors[name].ndim == 2]:
        weight = tensors[name]
        scale = np.abs(weight).max(1) / LARGEST
        tensors[name] = np.rint(weight / scale[:, None]).astype(np.int8)
        tensors[f"{name}_scale"] = scale.astype(np.float32)
    save_file(tensors, arguments.output, metadata)


if __name__ == "__main__":
    main()
