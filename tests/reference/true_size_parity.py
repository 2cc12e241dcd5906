"""Compares `unmask` with the reference implementations of its other detectors at true size. Run by hand: it writes up to
1.3 GB a network.

    python tests/reference/true_size_parity.py --unmask target/release/unmask --folder /tmp/parity [NAME...]

For each network (random weights, as the reference starts them, with batch norms that have statistics of their own): saves it
under its published names, imports it, runs `unmask forward` on two random inputs, and prints max |a - b| / max |b| of the
logits and how many parameters there are. Above --limit it exits with 1.
"""

import argparse
import re
import subprocess
from pathlib import Path

import torch
from efficientnet_pytorch import EfficientNet
from safetensors.torch import load_file, save_file
from torch import nn

import dinov3_goldens
import pe_goldens
import tall_goldens
import vit_goldens
from efficientnet_se_goldens import DeepfakeBench, Plain, floats
from xception_goldens import Widths, Xception

SEED = 20291


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(NETWORKS)} (default: all)")
    parser.add_argument("--unmask", type=Path, required=True, help="the program")
    parser.add_argument("--folder", type=Path, required=True, help="where the networks are written")
    parser.add_argument("--limit", type=float, default=1e-4, help="largest relative error (default: %(default)s)")
    return parser.parse_args()


def with_statistics(model, pixels):
    """The model, whose batch norms have the statistics of these pixels."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()(pixels)
    return model.eval()


def xception(generator):
    pixels = torch.randn(2, 3, 256, 256, generator=generator)
    network = with_statistics(Xception(Widths()), pixels)
    tensors = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    return "deepfakebench-xception", [], tensors, pixels, network(pixels)


def efficientnet_b4(generator):
    pixels = torch.randn(2, 3, 256, 256, generator=generator)
    network = with_statistics(DeepfakeBench(EfficientNet.from_name("efficientnet-b4", num_classes=2)), pixels)
    return "deepfakebench-effnb4", [], floats(network), pixels, network(pixels)


def efficientnet_b0(generator):
    """The classifier is no part of what is imported: features are compared."""
    pixels = torch.randn(2, 3, 224, 224, generator=generator)
    network = with_statistics(Plain(EfficientNet.from_name("efficientnet-b0", num_classes=2)), pixels)
    return "efficientnet-b0", [], floats(network), pixels, network.features(pixels)


def tall(generator):
    clips = torch.randn(2, 4, 3, 224, 224, generator=generator)
    network = tall_goldens.whole_network().eval()
    nn.init.trunc_normal_(network.frame_pos_embed, std=0.5)
    tensors = {f"model.{name}": value for name, value in network.published().items()}
    return "tall", [], tensors, clips, network(clips)[1]


def perception(generator):
    pixels = torch.randn(2, 3, 224, 224, generator=generator)
    network = pe_goldens.network()
    logits = network(network.feature_extractor["backbone"](pixels))[1]
    return "gend-pe", [], network.state_dict(), pixels, logits


def dinov3(generator):
    pixels = torch.randn(2, 3, 224, 224, generator=generator)
    network = dinov3_goldens.network(image_size=224, patch_size=16, num_register_tokens=4, **dinov3_goldens.SIZES["L"])
    logits = network(network.feature_extractor["backbone"](pixels).pooler_output)[1]
    tensors = {dinov3_goldens.published(name): value for name, value in network.state_dict().items()}
    return "gend-dinov3", [], tensors, pixels, logits


def community_forensics(generator):
    pixels = torch.randn(2, 3, 384, 384, generator=generator)
    network = vit_goldens.community_forensics()
    return "commfor", [], network.state_dict(), pixels, vit_goldens.real_and_fake(network["vit"](pixels))


def fs_vfm(generator):
    pixels = torch.randn(2, 3, 224, 224, generator=generator)
    network = vit_goldens.fs_vfm(embed_dim=768, depth=12, num_heads=12)
    return "fs-vfm", [], network.state_dict(), pixels, vit_goldens.real_and_fake(network(pixels))


NETWORKS = {
    "xception": xception,
    "efficientnet-b4": efficientnet_b4,
    "efficientnet-b0": efficientnet_b0,
    "tall": tall,
    "pe-l-14": perception,
    "dinov3-l-16": dinov3,
    "commfor-vit-s-16": community_forensics,
    "fs-vfm-b-16": fs_vfm,
}


@torch.no_grad()
def compare(unmask, folder, make):
    """max |a - b| / max |b|, and the program's number of parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    form, options, tensors, pixels, expected = make(torch.Generator().manual_seed(SEED))
    checkpoint, detector = folder / "checkpoint.safetensors", folder / "detector.safetensors"
    save_file({name: value.detach().clone().contiguous() for name, value in tensors.items()}, checkpoint)
    save_file({"pixel_values": pixels}, folder / "input.safetensors")
    run(unmask, "import", "--from", form, *options, "--input", checkpoint, "--output", detector)
    paths = ["--model", detector, "--input", folder / "input.safetensors", "--output", folder / "output.safetensors"]
    run(unmask, "forward", *paths)
    output = load_file(folder / "output.safetensors")
    found = output["features"] if output["features"].shape == expected.shape else output["logits"]
    parameters = re.search(r"parameters\s+(\d+)", run(unmask, "info", detector)).group(1)
    for path in (checkpoint, detector):
        path.unlink()
    return ((found - expected).abs().max() / expected.abs().max()).item(), int(parameters)


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def main():
    options = arguments()
    errors = {}
    for name in options.names or NETWORKS:
        errors[name], parameters = compare(options.unmask, options.folder / name, NETWORKS[name])
        print(f"{name}: max relative error {errors[name]:.2e}, {parameters:,} parameters", flush=True)
    if max(errors.values()) > options.limit:
        raise SystemExit(f"above the limit of {options.limit}")


if __name__ == "__main__":
    main()
