"""Makes mtcnn.safetensors: seeded inputs of the three MTCNN networks and what facenet-pytorch's networks answer."""

import torch
from safetensors.torch import save_file

from common import facenet_mtcnn, output_argument

SHAPES = {"pnet": (1, 3, 30, 41), "rnet": (3, 3, 24, 24), "onet": (2, 3, 48, 48)}
OUTPUTS = {"pnet": ("reg", "prob"), "rnet": ("reg", "prob"), "onet": ("reg", "landmarks", "prob")}
SEED = 20260
# Share of the smooth pattern in each input; the rest is noise. A pattern gives activations of ordinary size.
SMOOTH_SHARE = 0.7


def pattern(shape, generator):
    """Pixels (v - 127.5) / 128 of integers v in 0..255: smooth waves mixed with noise."""
    n, channels, height, width = shape
    y = torch.linspace(0, 1, height).view(1, 1, height, 1)
    x = torch.linspace(0, 1, width).view(1, 1, 1, width)
    phase, pitch = torch.rand(2, n, channels, 1, 1, generator=generator)
    waves = 0.5 + 0.5 * torch.sin(6.28 * (phase + (1 + 2 * pitch) * x + (2 - pitch) * y))
    noise = torch.rand(shape, generator=generator)
    values = (255 * (SMOOTH_SHARE * waves + (1 - SMOOTH_SHARE) * noise)).round()
    return (values - 127.5) / 128


def main():
    output = output_argument(__doc__).parse_args().output
    mtcnn, _ = facenet_mtcnn()
    generator = torch.Generator().manual_seed(SEED)
    tensors = {}
    for net, build in (("pnet", mtcnn.PNet), ("rnet", mtcnn.RNet), ("onet", mtcnn.ONet)):
        network = build().eval()
        tensors[f"{net}.input"] = pattern(SHAPES[net], generator)
        with torch.no_grad():
            answers = network(tensors[f"{net}.input"])
        tensors.update({f"{net}.{name}": value.contiguous() for name, value in zip(OUTPUTS[net], answers)})
    output.mkdir(parents=True, exist_ok=True)
    save_file(tensors, output / "mtcnn.safetensors")


if __name__ == "__main__":
    main()
