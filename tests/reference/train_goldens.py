"""Makes train_step.safetensors: two optimizer steps on the tiny CLIP detector, as PyTorch takes them.

Needs the goldens of clip_goldens.py. Contents, with parameters under the detector file's names:
`pixel_values` [2,6,3,32,32] and `labels` [6] (0 real, 1 fake) of two steps;
`start.NAME`, every parameter before the first step;
for each case `ln` and `full`: `CASE.STEP.loss` [1] of steps 1 and 2, `CASE.1.gradient.NAME` of every trained parameter,
`CASE.STEP.parameter.NAME` its value after the step.
The loss is cross-entropy + 0.5 uniformity + 0.1 alignment (GenD, src/losses/unifalign.py). `ln` steps with AdamW,
weight decay 0.01; `full` with Adam, weight decay 5e-4, and gradients clipped to length 0.5. Learning rates 1e-3, 5e-4.
"""

import re

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import CLIPVisionModel

from common import output_argument

SEED = 20262
LABELS = [0, 1, 1, 0, 1, 0]
RATES = [1e-3, 5e-4]
NAMES = [
    (r"^embeddings\.class_embedding$", "tower.class_embedding"),
    (r"^embeddings\.patch_embedding\.weight$", "tower.patch_embedding"),
    (r"^embeddings\.position_embedding\.weight$", "tower.position_embedding"),
    (r"^pre_layrnorm\.", "tower.pre_norm."),
    (r"^post_layernorm\.", "tower.post_norm."),
    (r"^encoder\.layers\.(\d+)\.layer_norm(\d)\.", r"tower.layers.\1.norm\2."),
    (r"^encoder\.layers\.(\d+)\.self_attn\.q_proj\.", r"tower.layers.\1.attention.query."),
    (r"^encoder\.layers\.(\d+)\.self_attn\.k_proj\.", r"tower.layers.\1.attention.key."),
    (r"^encoder\.layers\.(\d+)\.self_attn\.v_proj\.", r"tower.layers.\1.attention.value."),
    (r"^encoder\.layers\.(\d+)\.self_attn\.out_proj\.", r"tower.layers.\1.attention.output."),
    (r"^encoder\.layers\.(\d+)\.mlp\.", r"tower.layers.\1.mlp."),
]


def our_name(name):
    """A detector file's name of transformers' parameter."""
    for pattern, ours in NAMES:
        if re.match(pattern, name):
            return re.sub(pattern, ours, name)
    raise SystemExit(f"no name for {name}")


def loss_of(logits, features, labels):
    """The recipe's loss."""
    uniformity = torch.pdist(features).pow(2).mul(-2).exp().mean().clamp(min=1e-6).log()
    first, second = torch.triu_indices(len(labels), len(labels), offset=1)
    same = labels[first] == labels[second]
    alignment = (features[first[same]] - features[second[same]]).norm(dim=1).pow(2).mean()
    return functional.cross_entropy(logits, labels) + 0.5 * uniformity + 0.1 * alignment


def steps(case, folder, pixels, labels):
    """Two steps from the stored weights."""
    tower = CLIPVisionModel.from_pretrained(folder / "clip_tiny", attn_implementation="eager").float()
    stored = load_file(folder / "clip_tiny" / "head1.safetensors")
    head = torch.nn.Linear(tower.config.hidden_size, 2)
    head.load_state_dict({"weight": stored["model.linear.weight"], "bias": stored["model.linear.bias"]})
    named = {our_name(name.removeprefix("vision_model.")): p for name, p in tower.named_parameters()}
    named |= {f"head.layers.0.{name}": p for name, p in head.named_parameters()}
    trained = {n: p for n, p in named.items() if case == "full" or n.startswith("head.") or "norm" in n}
    if case == "ln":
        optimizer = torch.optim.AdamW(trained.values(), lr=RATES[0], weight_decay=0.01)
    else:
        optimizer = torch.optim.Adam(trained.values(), lr=RATES[0], weight_decay=5e-4)
    found = {f"start.{n}": p.detach().clone() for n, p in named.items()}
    for step, rate in enumerate(RATES):
        optimizer.param_groups[0]["lr"] = rate
        features = functional.normalize(tower(pixels[step]).pooler_output, dim=-1)
        loss = loss_of(head(features), features, labels)
        optimizer.zero_grad()
        loss.backward()
        prefix = f"{case}.{step + 1}"
        found[f"{prefix}.loss"] = loss.detach().reshape(1)
        if step == 0:
            found |= {f"{prefix}.gradient.{n}": p.grad.clone() for n, p in trained.items()}
        if case == "full":
            torch.nn.utils.clip_grad_norm_(trained.values(), 0.5)
        optimizer.step()
        found |= {f"{prefix}.parameter.{n}": p.detach().clone() for n, p in trained.items()}
    return found


def main():
    folder = output_argument(__doc__).parse_args().output
    generator = torch.Generator().manual_seed(SEED)
    pixels = torch.randn((len(RATES), len(LABELS), 3, 32, 32), generator=generator)
    labels = torch.tensor(LABELS)
    tensors = {"pixel_values": pixels, "labels": labels.float()}
    for case in ("ln", "full"):
        tensors |= steps(case, folder, pixels, labels)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "train_step.safetensors")


if __name__ == "__main__":
    main()
