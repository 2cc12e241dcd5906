"""Makes lora_step.safetensors and lora_adapter/: low-rank updates (LoRA) of the tiny CLIP tower, as PEFT defines them.

Needs the goldens of clip_goldens.py. A layer's weight becomes W + (alpha / rank) B A (Hu et al., "LoRA", 2022), here of
rank 4 and alpha 8, on the query and value projections of each layer. `low_rank.down` is A [rank, in], `low_rank.up` is
B [out, rank], which is not zero here, so that it counts. Contents, with parameters under the detector file's names:
`pixel_values` [2,4,3,32,32] and `labels` [4] (0 real, 1 fake) of two steps;
`start.NAME`, every parameter before the first step; `merged.NAME`, the weights with their updates added;
`features` [4,32], unit vectors, and `logits` [4,2] of the first step's images at the start;
for each case `lora` (updates and head are trained) and `lora_ln` (every LayerNorm too): `CASE.STEP.loss` [1] of steps
1 and 2, `CASE.1.gradient.NAME` of every trained parameter, `CASE.STEP.parameter.NAME` its value after the step.
Loss, AdamW (weight decay 0.01) and learning rates are those of case `ln` of train_goldens.py.

lora_adapter/ is the start's updates as PEFT writes them: adapter_model.safetensors and adapter_config.json. PEFT runs
beside the formulation here, and every number is checked against it.
"""

import json

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from common import output_argument
from train_goldens import LABELS, RATES, loss_of, our_name

SEED = 20271
RANK, ALPHA = 4, 8
TARGETS = ["q_proj", "v_proj"]
CASES = {"lora": ("low_rank", "head."), "lora_ln": ("low_rank", "head.", "norm")}
VIT_B_16 = dict(image_size=224, patch_size=16, hidden_size=768, num_hidden_layers=12, num_attention_heads=12)
VIT_B_16 |= dict(intermediate_size=3072)
VIT_L_14 = dict(image_size=224, patch_size=14, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16)
VIT_L_14 |= dict(intermediate_size=4096)


class LowRank(nn.Module):
    """A trained change of a linear layer, as the product of two thin matrices."""

    def __init__(self, linear, rank, alpha):
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, linear.in_features))
        self.up = nn.Parameter(torch.empty(linear.out_features, rank))
        self.scale = alpha / rank

    def forward(self, x):
        return self.scale * functional.linear(functional.linear(x, self.down), self.up)


class Adapted(nn.Module):
    """A linear layer and its change."""

    def __init__(self, linear, rank, alpha):
        super().__init__()
        self.linear = linear
        self.low_rank = LowRank(linear, rank, alpha)

    def forward(self, x):
        return self.linear(x) + self.low_rank(x)

    def merged(self):
        return self.linear.weight + self.low_rank.scale * self.low_rank.up @ self.low_rank.down


def adapt(tower, rank, alpha):
    """Gives the query and value projections of every layer a low-rank change."""
    for layer in tower.encoder.layers:
        for target in TARGETS:
            setattr(layer.self_attn, target, Adapted(getattr(layer.self_attn, target), rank, alpha))
    return tower


def named(tower, head):
    """All parameters by their names in a detector file, of a tower adapted here or by PEFT."""
    replacements = {"base_model.model.": "", "vision_model.": "", ".linear.": ".", ".base_layer.": "."}
    replacements |= {"lora_A.default.weight": "low_rank.down", "lora_B.default.weight": "low_rank.up"}
    found = {}
    for name, parameter in tower.named_parameters():
        for theirs, ours in replacements.items():
            name = name.replace(theirs, ours)
        found[our_name(name)] = parameter
    return found | {f"head.layers.0.{name}": parameter for name, parameter in head.named_parameters()}


def load(folder):
    """The tiny tower and a head on it."""
    tower = CLIPVisionModel.from_pretrained(folder / "clip_tiny", attn_implementation="eager").float()
    stored = load_file(folder / "clip_tiny" / "head1.safetensors")
    head = nn.Linear(tower.config.hidden_size, 2)
    head.load_state_dict({"weight": stored["model.linear.weight"], "bias": stored["model.linear.bias"]})
    return tower, head


def adapted_here(folder, updates):
    tower, head = load(folder)
    adapt(tower, RANK, ALPHA)
    return filled(tower, head, updates)


def adapted_by_peft(folder, updates):
    tower, head = load(folder)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS)
    return filled(get_peft_model(tower, config), head, updates)


def filled(tower, head, updates):
    parameters = named(tower, head)
    for name, value in updates.items():
        parameters[name].data.copy_(value)
    return tower, head, parameters


def random_updates(parameters, generator):
    """As PEFT begins, but for B: A of variance 1 / (3 in), B about half as large as a weight's rows."""
    updates = {}
    for name, parameter in parameters.items():
        if "low_rank" in name:
            deviation = (3 * parameter.shape[1]) ** -0.5 if name.endswith("down") else 0.3
            updates[name] = deviation * torch.randn(parameter.shape, generator=generator)
    return updates


def answers(tower, head, pixels):
    features = functional.normalize(tower(pixels).pooler_output, dim=-1)
    return features, head(features)


def steps(case, model, pixels, labels):
    """Two steps of a model that is at its start."""
    tower, head, parameters = model
    trained = {n: p for n, p in parameters.items() if any(part in n for part in CASES[case])}
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in trained)
    optimizer = torch.optim.AdamW(trained.values(), lr=RATES[0], weight_decay=0.01)
    found = {}
    for step, rate in enumerate(RATES):
        optimizer.param_groups[0]["lr"] = rate
        features, logits = answers(tower, head, pixels[step])
        loss = loss_of(logits, features, labels)
        optimizer.zero_grad()
        loss.backward()
        prefix = f"{case}.{step + 1}"
        found[f"{prefix}.loss"] = loss.detach().reshape(1)
        if step == 0:
            found |= {f"{prefix}.gradient.{n}": p.grad.clone() for n, p in trained.items()}
        optimizer.step()
        found |= {f"{prefix}.parameter.{n}": p.detach().clone() for n, p in trained.items()}
    return found


def start(model, pixels):
    """What the model is and answers before the first step."""
    tower, head, parameters = model
    features, logits = answers(tower, head, pixels)
    found = {"features": features, "logits": logits} | {f"start.{n}": p for n, p in parameters.items()}
    return {name: value.detach().clone() for name, value in found.items()}


def merged(tower):
    """The weights of the adapted layers with their changes added."""
    return {"merged." + our_name(f"{name}.weight"): layer.merged().detach()
            for name, layer in tower.named_modules() if isinstance(layer, Adapted)}


def merged_by_peft(model):
    """The same, as PEFT's merge_and_unload makes them. It takes the model apart, so it comes last."""
    tower = model[0].merge_and_unload()
    return {f"merged.{our_name(name)}": value.detach() for name, value in tower.named_parameters()
            if any(f"{target}.weight" in name for target in TARGETS)}


def save_adapter(model, folder):
    """Writes what PEFT's save_pretrained writes, its sets in a fixed order."""
    tower, _, _ = model
    folder.mkdir(exist_ok=True)
    tensors = {name: value.detach().contiguous() for name, value in get_peft_model_state_dict(tower).items()}
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    config = tower.peft_config["default"].to_dict() | {"base_model_name_or_path": None, "inference_mode": True}
    config = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    for name, value in ours.items():
        error = (value - theirs[name]).abs().max() / value.abs().max()
        assert error < 1e-5, f"{name}: PEFT differs by {error:.1e}"


def count(sizes):
    """Trained parameters of a tower with 1mlp by case, and all of them, updates included."""
    with torch.device("meta"):
        tower = adapt(CLIPVisionModel(CLIPVisionConfig(**sizes)), RANK, ALPHA)
        parameters = named(tower, nn.Linear(sizes["hidden_size"], 2))
    counts = {case: sum(p.numel() for n, p in parameters.items() if any(part in n for part in parts))
              for case, parts in CASES.items()}
    return counts | {"all": sum(p.numel() for p in parameters.values())}


def main():
    torch.set_num_threads(1)
    output = output_argument(__doc__).parse_args().output
    generator = torch.Generator().manual_seed(SEED)
    pixels = torch.randn(len(RATES), 4, 3, 32, 32, generator=generator)
    labels = torch.tensor(LABELS[:4])
    updates = random_updates(adapted_here(output, {})[2], generator)
    here, peft = adapted_here(output, updates), adapted_by_peft(output, updates)
    tensors = start(here, pixels[0])
    assert_equal(tensors, start(peft, pixels[0]))
    tensors |= merged(here[0])
    save_adapter(peft, output / "lora_adapter")
    for case in CASES:
        found = steps(case, adapted_here(output, updates), pixels, labels)
        assert_equal(found, steps(case, adapted_by_peft(output, updates), pixels, labels))
        tensors |= found
    assert_equal({n: v for n, v in tensors.items() if n.startswith("merged.")}, merged_by_peft(peft))
    tensors |= {"pixel_values": pixels, "labels": labels.float()}
    save_file({name: value.contiguous() for name, value in tensors.items()}, output / "lora_step.safetensors")
    print(f"ViT-B/16: {count(VIT_B_16)}; ViT-L/14: {count(VIT_L_14)}")


if __name__ == "__main__":
    main()
