"""Makes train_step_stan.safetensors: two Adam steps on the tiny STAN detectors, as PyTorch takes them.

Needs the goldens of stan_reference.py. Trained are the LayerNorms, the temporal layers, the time embeddings and the
head. Both steps see the clips of stan_reference.safetensors, with its drop-path masks, labels 0 and 1; the loss is
cross-entropy + 0.5 uniformity, weight decay 5e-4, learning rates 1e-3 and 5e-4. Contents, under the detector file's
names: `MODULE.STEP.loss` [1], `MODULE.1.gradient.NAME`, `MODULE.STEP.parameter.NAME` after the step.
"""

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from common import output_argument
from stan_reference import SIZES, Stan, our_name

RATES = [1e-3, 5e-4]
LABELS = torch.tensor([0, 1])


def is_trained(name):
    """Whether the strategy `stan` trains the parameter."""
    return name.startswith("head.") or "norm" in name or ".temporal." in name or name == "branch.time_embedding"


def steps(module, folder, reference):
    """Two steps from the stored weights."""
    model = Stan(CLIPVisionModel(CLIPVisionConfig(**SIZES)), module).train()
    stored = load_file(folder / f"stan_{module}.safetensors")
    model.load_state_dict({name: stored[our_name(name)] for name in model.state_dict()})
    trained = {our_name(n): p for n, p in model.named_parameters() if is_trained(our_name(n))}
    optimizer = torch.optim.Adam(trained.values(), lr=RATES[0], weight_decay=5e-4)
    found = {}
    for step, rate in enumerate(RATES):
        optimizer.param_groups[0]["lr"] = rate
        features, logits = model(reference["pixel_values"], reference[f"{module}.t8.masks"])
        uniformity = torch.pdist(features).pow(2).mul(-2).exp().mean().clamp(min=1e-6).log()
        loss = functional.cross_entropy(logits, LABELS) + 0.5 * uniformity
        model.zero_grad()
        loss.backward()
        prefix = f"{module}.{step + 1}"
        found[f"{prefix}.loss"] = loss.detach().reshape(1)
        if step == 0:
            found |= {f"{prefix}.gradient.{n}": p.grad.clone() for n, p in trained.items()}
        optimizer.step()
        found |= {f"{prefix}.parameter.{n}": p.detach().clone() for n, p in trained.items()}
    return found


def main():
    folder = output_argument(__doc__).parse_args().output
    reference = load_file(folder / "stan_reference.safetensors")
    tensors = {}
    for module in ("attention", "conv"):
        tensors |= steps(module, folder, reference)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "train_step_stan.safetensors")


if __name__ == "__main__":
    main()
