"""The kinds of detectors that gpu_parity.py compares, and how a file of each is made.

Of true size with random weights (needs transformers and efficientnet_lite_pytorch), and tiny: the checkpoints of tests/goldens,
most of them imported. `import` knows EfficientNets and Swin transformers by their published sizes and nobody published a
TimeSformer, so that the tiny ones of these are written here under the program's names.
"""

import functools
import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

SEED = 20264
GOLDENS = Path(__file__).resolve().parents[1] / "goldens"


@dataclass(frozen=True)
class Kind:
    """A kind of detector: what it is made of, and what is trained of it."""

    name: str
    # Of true size a key of `checkpoint`, else a file of tests/goldens.
    checkpoint: str
    # How a tiny one is imported; empty where its file is a detector, or where `architecture` says what it is.
    format: str = ""
    options: tuple = ()
    architecture: tuple = ()
    strategies: tuple = ("ln",)
    statistics: str = "stored"
    # Further keys of the recipe.
    settings: tuple = ()

    def folder(self, root):
        return root / re.sub(r"\W+", "-", self.name)


CLIPS = ("--clip-length", "4", "--time-module")
TRUE_SIZE = [
    Kind("efficientnet-lite0", "lite0", strategies=("full",), statistics="batch"),
    Kind("efficientnet-lite2", "lite2", options=("--input-size", "192"), strategies=("full",), statistics="batch"),
    Kind("vit-b-16", "b16", strategies=("ln", "full")),
    Kind("vit-b-16, two layers", "b16", options=("--head-kind", "2mlp"), strategies=("head",)),
    Kind("stan, attention", "b16", options=(*CLIPS, "attention"), strategies=("stan",)),
    Kind("stan, convolution", "b16", options=(*CLIPS, "conv"), strategies=("stan",)),
    Kind("vit-l-14", "l14"),
]


def efficientnet(stages, **sizes):
    """Stages as (repeats, kernel, stride, expansion, channels)."""
    names = ("repeats", "kernel", "stride", "expansion", "channels")
    stages = [dict(zip(names, stage, strict=True)) for stage in stages]
    return {"stem": 8, "width": 80, "head": "1mlp", "stages": stages, **sizes}


# The sizes of efficientnet_goldens.py, efficientnet_se_goldens.py, timesformer_reference.py and tall_goldens.py.
SQUEEZED = {"variant": "squeeze-excite"}
LITE = efficientnet([(1, 3, 1, 1, 16), (2, 5, 2, 3, 24), (1, 3, 2, 6, 32)], image_size=34, width=160)
PLAIN_STAGES = [(1, 3, 1, 1, 12), (1, 3, 2, 6, 16), (2, 5, 2, 4, 20), (1, 5, 2, 3, 28), (1, 3, 1, 2, 32)]
PLAIN = efficientnet(PLAIN_STAGES, image_size=38, nominal_size=38, **SQUEEZED)
B4_STAGES = [(2, 3, 1, 1, 12), (1, 3, 2, 6, 16), (2, 5, 2, 4, 20), (1, 5, 1, 2, 24), (1, 5, 2, 2, 28), (1, 3, 1, 2, 32)]
B4 = efficientnet(B4_STAGES, image_size=36, nominal_size=60, unpadded_stem=True, **SQUEEZED)
BACKBONE_STAGES = [(1, 3, 1, 1, 12), (2, 5, 2, 3, 12), (1, 3, 2, 2, 8), (1, 5, 2, 4, 12)]
BACKBONE = efficientnet(BACKBONE_STAGES, image_size=36, nominal_size=36, width=16, **SQUEEZED)
TIMESFORMER = {"backbone": BACKBONE, "clip_length": 5, "layers": 2, "heads": 4, "mlp": 64, "dropout": 0.1}
SWIN = {"image_size": 64, "patch_size": 4, "width": 4, "depths": [2, 2, 2, 1], "heads": [2, 4, 8, 16]}
SWIN |= {"windows": [4, 4, 4, 2], "mlp_ratio": 4}
TALL = {"swin": SWIN, "head": "1mlp", "drop_path": 0.0, "hidden": 0}

LOW_RANK = 'model.low_rank={ rank = 4, alpha = 8.0, targets = ["query", "value"] }'
EVERYTHING = {"strategies": ("full",)}
BY_BATCH = {"strategies": ("full",), "statistics": "batch"}
UDD = {"strategies": ("lora",), "settings": (LOW_RANK, "loss.penalties={ contrast = 0.1, divergence = 0.1 }")}
TALLPP = {**BY_BATCH, "settings": ("loss.penalties={ consistency = 0.1 }",)}
TWO_HEADS, THREE_HEADS, SIDE_24 = ("--heads", "2"), ("--heads", "3"), ("--input-size", "24")
TINY = [
    Kind("efficientnet-lite", "efficientnet_tiny", architecture=("efficientnet", LITE), **BY_BATCH),
    Kind("efficientnet-b0", "efficientnet_se_tiny", architecture=("efficientnet", PLAIN), **BY_BATCH),
    Kind("efficientnet-b4", "efficientnet_b4_tiny", architecture=("efficientnet", B4), **BY_BATCH),
    Kind("xception", "xception_tiny", "deepfakebench-xception", ("--input-size", "44"), **BY_BATCH),
    Kind("timesformer", "timesformer_tiny", architecture=("timesformer", TIMESFORMER), **BY_BATCH),
    Kind("tall", "tall_tiny", architecture=("tall", TALL), **EVERYTHING),
    Kind("tall++", "tallpp_tiny", architecture=("tall", TALL | {"graph_nodes": 4}), **TALLPP),
    Kind("clip", "clip_tiny/model", "hf-clip", strategies=("ln",)),
    Kind("clip, lora", "gend_tiny", "gend", TWO_HEADS, strategies=("lora",), settings=(LOW_RANK,)),
    Kind("effort", "effort_tiny", "effort", TWO_HEADS, **EVERYTHING),
    Kind("udd", "udd_tiny", "gend", (*TWO_HEADS, "--udd"), **UDD),
    Kind("dicome", "dicome_tiny", "dicome", TWO_HEADS, **EVERYTHING),
    Kind("vit, token", "vit_tiny", "commfor", THREE_HEADS, **EVERYTHING),
    Kind("vit, average", "vit_average_tiny", "fs-vfm", TWO_HEADS, **EVERYTHING),
    Kind("perception encoder", "pe_tiny", "gend-pe", (*TWO_HEADS, *SIDE_24)),
    Kind("dinov3", "dinov3_tiny", "gend-dinov3", (*TWO_HEADS, *SIDE_24)),
    Kind("dinov3, gated", "dinov3_gated_tiny", "gend-dinov3", (*TWO_HEADS, *SIDE_24), **EVERYTHING),
    Kind("stan, attention", "stan_attention", strategies=("stan",)),
    Kind("stan, convolution", "stan_conv", strategies=("stan",)),
]

EFFICIENTNET_NAMES = [
    (r"^(backbone\.)?(efficientnet\.)?_", "trunk._"),
    (r"_blocks\.(\d+)\._bn0", r"blocks.\1.expand.norm"),
    (r"_blocks\.(\d+)\._bn1", r"blocks.\1.depthwise.norm"),
    (r"_blocks\.(\d+)\._bn2", r"blocks.\1.project.norm"),
    (r"_blocks\.(\d+)\._(expand|depthwise|project)_conv", r"blocks.\1.\2"),
    (r"_blocks\.(\d+)\._se_", r"blocks.\1.squeeze."),
    (r"_conv_stem", "stem"),
    (r"_bn0", "stem.norm"),
    (r"_conv_head", "last"),
    (r"_bn1", "last.norm"),
    (r"^(trunk\._fc|backbone\.last_layer|head)\.", "head.layers.0."),
]
NAMES = {
    "efficientnet": EFFICIENTNET_NAMES,
    "timesformer": [
        (r"^(blocks|norm)\.", r"time.\1."),
        *EFFICIENTNET_NAMES,
        (r"^cls_token", "time.class_embedding"),
        (r"^pos_embed", "time.position_embedding"),
        (r"^time_embed", "time.time_embedding"),
        (r"attn\.", "attention."),
        (r"attention\.proj", "attention.output"),
        (r"temporal_norm1", "temporal_norm"),
    ],
    "tall": [
        (r"^model\.", ""),
        (r"^head\.", "head.layers.0."),
        (r"^frame_pos_embed", "frame_embedding"),
        (r"^patch_embed\.proj", "swin.patches"),
        (r"^patch_embed\.norm", "swin.patch_norm"),
        (r"^norm\.", "swin.norm."),
        (r"^layers\.(\d)\.downsample", lambda found: f"swin.stages.{int(found[1]) + 1}.merging"),
        (r"^layers\.", "swin.stages."),
        (r"attn\.relative_position_bias_table", "relative_position"),
        (r"attn\.proj", "attention.output"),
        (r"attn\.qkv", "attention.qkv"),
        (r"^grb\.conv_state", "graph.state"),
        (r"^grb\.conv_proj", "graph.assign"),
        (r"^grb\.gcn\.conv1", "graph.nodes"),
        (r"^grb\.gcn\.conv2\.weight", "graph.states"),
        (r"^grb\.conv_extend\.weight", "graph.extend"),
        (r"^grb\.blocker", "graph.norm"),
    ],
}
# What is no parameter.
BUFFERS = re.compile(r"relative_position_index|attn_mask|num_batches_tracked")


def under_our_names(tensors, rules):
    """The tensors of a checkpoint as a detector file has them."""
    for name, value in tensors.items():
        if BUFFERS.search(name):
            continue
        for theirs, ours in rules:
            name = re.sub(theirs, ours, name)
        if "trunk." not in name or ".squeeze." in name:
            # Matrices that are convolutions there, and embeddings of one picture.
            value = value.squeeze()
        if "attention.qkv" in name:
            for part, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                yield name.replace("qkv", part), rows.contiguous()
        else:
            yield name, value


def write_detector(kind, path):
    """A detector file of a golden checkpoint that `import` knows in its published size alone."""
    family, sizes = kind.architecture
    side = {"timesformer": BACKBONE, "tall": SWIN}.get(family, sizes)["image_size"]
    clip_length = {"timesformer": TIMESFORMER["clip_length"], "tall": 4}.get(family)
    spec = {
        "version": 1, "name": "tiny", "architecture": {"kind": family, **sizes},
        "input": {"size": side, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"},
        "crop": {"geometry": "dfb", "size": side, "margin": 1.3},
        "sampling": {"frames": 32, "clip_length": clip_length},
        "labels": ["real", "fake"],
        "calibration": {"temperature": 1.0, "real_below": 0.35, "fake_above": 0.65},
        "training": {"status": "imported", "summary": "random, for tests"},
        "licence": None, "base_model": None,
    }  # fmt: skip
    tensors = load_file(GOLDENS / f"{kind.checkpoint}.safetensors")
    save_file(dict(under_our_names(tensors, NAMES[family])), path, {"unmask": json.dumps(spec)})


LOCK = threading.Lock()


@functools.cache
def checkpoint(name, folder):
    """A checkpoint of true size with random weights, and what `import` calls its format. Under `LOCK`."""
    if name.startswith("lite"):
        from efficientnet_lite_pytorch import EfficientNet

        torch.manual_seed(SEED)
        path, format = folder / f"{name}.pth", f"efficientnet-{name}"
        torch.save(EfficientNet.from_name(format).state_dict(), path)
        return path, format
    from transformers import CLIPVisionConfig, CLIPVisionModel

    from clip_goldens import randomise
    from real_size_parity import B16, L14

    tower = CLIPVisionModel(CLIPVisionConfig(image_size=224, **{"b16": B16, "l14": L14}[name]))
    randomise(tower, torch.Generator().manual_seed(SEED))
    tower.save_pretrained(folder / name)
    return folder / name / "model.safetensors", "hf-clip"


def make_detector(kind, root, run):
    """The detector file of a kind; `run` runs the program with arguments."""
    detector = kind.folder(root) / "detector.safetensors"
    if kind.architecture:
        write_detector(kind, detector)
        return detector
    golden = GOLDENS / f"{kind.checkpoint}.safetensors"
    if kind.format:
        source, format = golden, kind.format
    elif golden.exists():
        return golden
    else:
        with LOCK:
            source, format = checkpoint(kind.checkpoint, root)
    run("import", "--from", format, "--input", source, "--output", detector, *kind.options)
    return detector


def input_of(detector):
    """The side of a detector's input in pixels, and the frames of a clip."""
    with safe_open(detector, "pt") as file:
        spec = json.loads(file.metadata()["unmask"])
    return spec["input"]["size"], spec["sampling"]["clip_length"] or 1
