"""Makes wrapped/: one tiny GenD detector, as programs of the field save it.

All hold the same values: a CLIP tower of width 8 (one layer, two heads, MLP 8, patches of 8 in images of 16 pixels) and a
linear head, under GenD's names.

    plain.safetensors       the names themselves
    renamed.pth             that file under another name
    parallel.pth.tar        {epoch, arch, state_dict: {module.*}, optimizer} of DistributedDataParallel
    lightning.ckpt          what Lightning's Trainer saves: state_dict: {detector.*, criterion.weight}, optimizer_states, ...
    compiled.pkl            {model: {_orig_mod.*}, scaler, rng_state} of torch.compile, as a legacy pickle stream
    averaged.pth            {state_dict, state_dict_ema}: two networks, of which the second is zero
    hostile.pth             a pickle that would run a command when it is loaded
"""

import os
import pickle

import torch
from safetensors.torch import save_file

from common import output_argument

SEED = 20265
WIDTH, MLP, PATCH, TOKENS = 8, 8, 8, 5


def network():
    """GenD's state dict."""
    generator = torch.Generator().manual_seed(SEED)
    shapes = {
        "embeddings.class_embedding": [WIDTH],
        "embeddings.patch_embedding.weight": [WIDTH, 3, PATCH, PATCH],
        "embeddings.position_embedding.weight": [TOKENS, WIDTH],
    }
    for norm in ("pre_layrnorm", "encoder.layers.0.layer_norm1", "encoder.layers.0.layer_norm2", "post_layernorm"):
        shapes |= {f"{norm}.weight": [WIDTH], f"{norm}.bias": [WIDTH]}
    for layer in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"):
        shapes |= {f"encoder.layers.0.{layer}.weight": [WIDTH, WIDTH], f"encoder.layers.0.{layer}.bias": [WIDTH]}
    for layer, shape in (("mlp.fc1", [MLP, WIDTH]), ("mlp.fc2", [WIDTH, MLP])):
        shapes |= {f"encoder.layers.0.{layer}.weight": shape, f"encoder.layers.0.{layer}.bias": shape[:1]}
    shapes = {f"feature_extractor.vision_model.{name}": shape for name, shape in shapes.items()}
    shapes |= {"model.linear.weight": [2, WIDTH], "model.linear.bias": [2]}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def optimizer_of(state):
    """An optimizer's state dict after one step on the head."""
    parameter = torch.nn.Parameter(state["model.linear.weight"].clone())
    optimizer = torch.optim.AdamW([parameter])
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer.state_dict()


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


class Command:
    """Unpickled, it runs a command that leaves a file in the current folder."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def main():
    folder = output_argument(__doc__).parse_args().output / "wrapped"
    folder.mkdir(parents=True, exist_ok=True)
    state = network()
    save_file(state, folder / "plain.safetensors")
    save_file(state, folder / "renamed.pth")
    parallel = {"epoch": 3, "arch": "gend", "state_dict": prefixed(state, "module."), "optimizer": optimizer_of(state)}
    torch.save(parallel, folder / "parallel.pth.tar")
    lightning = {
        "epoch": 1,
        "global_step": 10,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": prefixed(state, "detector.") | {"criterion.weight": torch.ones(2)},
        "loops": {"fit_loop": {"state_dict": {}}},
        "optimizer_states": [optimizer_of(state)],
        "lr_schedulers": [{"last_epoch": 1}],
        "hyper_parameters": {"lr": 3e-4, "backbone": "openai/clip"},
    }
    torch.save(lightning, folder / "lightning.ckpt")
    compiled = {"model": prefixed(state, "_orig_mod."), "scaler": {"scale": 65536.0}, "rng_state": torch.get_rng_state()[:8]}
    torch.save(compiled, folder / "compiled.pkl", _use_new_zipfile_serialization=False)
    averaged = {"state_dict": state, "state_dict_ema": {name: value * 0 for name, value in state.items()}}
    torch.save(averaged, folder / "averaged.pth")
    with (folder / "hostile.pth").open("wb") as file:
        pickle.dump({"state_dict": Command()}, file, protocol=2)


if __name__ == "__main__":
    main()
