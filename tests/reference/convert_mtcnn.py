"""Rewrites the MTCNN weights of facenet-pytorch 2.6.0 as models/mtcnn.safetensors (f32), and prints the checksums.

The three legacy pickles in the package (pnet.pt, rnet.pt, onet.pt) are joined under the prefixes `pnet.`, `rnet.` and
`onet.`; names, shapes, axes and values stay as they are.
"""

import hashlib
import importlib.util
from pathlib import Path

import torch
from safetensors.torch import save_file

from common import REPOSITORY, output_argument


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def main():
    output = output_argument(__doc__, REPOSITORY / "models").parse_args().output
    spec = importlib.util.find_spec("facenet_pytorch")
    if spec is None:
        raise SystemExit("facenet-pytorch is missing: pip install --no-deps facenet-pytorch==2.6.0")
    data = Path(spec.submodule_search_locations[0]) / "data"
    tensors = {}
    for net in ("pnet", "rnet", "onet"):
        source = data / f"{net}.pt"
        print(sha256(source), source.name)
        state = torch.load(source, map_location="cpu", weights_only=True)
        tensors.update({f"{net}.{name}": value.float().contiguous() for name, value in state.items()})
    target = output / "mtcnn.safetensors"
    output.mkdir(parents=True, exist_ok=True)
    save_file(tensors, target)
    print(sha256(target), target.name)


if __name__ == "__main__":
    main()
