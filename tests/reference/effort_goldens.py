"""Makes effort_tiny.safetensors, effort_reference.safetensors and effort_step.safetensors: Effort and its training.

Effort (Yan et al., ICML 2025; YZY-stack/Effort-AIGI-Detection, DeepfakeBench/training/detectors/effort_detector.py)
takes CLIP's tower and writes each query, key, value and output weight as `weight_main` + U diag(S) V, where the second
part begins as the last singular triple of the weight. Only U, S, V and a linear head are trained; the head reads the
pooled output as it is, without L2 norm.

effort_tiny.safetensors is a checkpoint in Effort's names, of a tower of the sizes in clip_goldens.py after training
(random). effort_reference.safetensors has what it answers: `pixel_values` [3,3,32,32], `labels` [3] (i64), `features`
[3,32], `logits` [3,2], the mean cross-entropy `loss` [1], `merged.NAME`, the attention weights as one, and
`gradient.NAME` of some parameters of the merged tower.

effort_step.safetensors has two steps of training on the tiny CLIP tower (clip_tiny/ and its head1, made by
clip_goldens.py), with parameters under the detector file's names, the parts of a weight under Effort's last names:
`pixel_values` [2,4,3,32,32] and `labels` [4]; `start.NAME`, every parameter before the first step, decomposed;
`moved.NAME`, what some steps of training might have made of those that are trained; for each case `CASE.STEP.loss`
[1] of steps 1 and 2, `CASE.1.gradient.NAME` of every trained parameter, `CASE.STEP.parameter.NAME` its value after the
step. The cases:
`plain` begins at `start` and minimises cross-entropy, as the published code does; `plain.2.merged.NAME` are the
attention weights after its second step, which do not depend on the signs of a decomposition;
`norms` and `squares` begin at `moved` and add two penalties, means over the decomposed weights,
`CASE.STEP.orthogonality` [1] and `CASE.STEP.energy` [1]: `norms` as in the code, where they are commented out,
`squares` with the first one without its roots and halves, as readers quote the paper.
Adam as the code sets it, weight decay 5e-4 added to the gradients; learning rates 1e-3, 5e-4.
"""

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from clip_goldens import TOWER, randomise
from common import output_argument
from lora_goldens import VIT_L_14
from train_goldens import RATES, our_name

SEED = 20272
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "out_proj"]
PARTS = ["U_residual", "S_residual", "V_residual"]
LABELS = [0, 1, 1, 0]
CASES = {"plain": "start", "norms": "moved", "squares": "moved"}
GRADIENTS = ["backbone.embeddings.patch_embedding.weight", "backbone.encoder.layers.0.self_attn.q_proj.weight"]
GRADIENTS += ["backbone.encoder.layers.0.layer_norm2.bias", "backbone.encoder.layers.1.self_attn.out_proj.weight"]
GRADIENTS += ["backbone.encoder.layers.1.mlp.fc1.weight", "backbone.post_layernorm.weight", "head.weight", "head.bias"]


class Decomposed(nn.Module):
    """A linear layer whose weight is what stays and a trained product."""

    def __init__(self, linear):
        super().__init__()
        u, s, v = torch.linalg.svd(linear.weight.data, full_matrices=False)
        self.weight_main = nn.Parameter(u[:, :-1] * s[:-1] @ v[:-1])
        self.U_residual = nn.Parameter(u[:, -1:].clone())
        self.S_residual = nn.Parameter(s[-1:].clone())
        self.V_residual = nn.Parameter(v[-1:].clone())
        self.bias = linear.bias
        self.original, self.kept = linear.weight.data.clone(), (u[:, :-1], v[:-1])
        self.first = (u[:, -1:].clone(), s[-1:].clone(), v[-1:].clone())

    def weight(self):
        return self.weight_main + self.U_residual * self.S_residual @ self.V_residual

    def forward(self, x):
        return functional.linear(x, self.weight(), self.bias)

    def orthogonality(self):
        """Squared lengths of U Uᵀ - 1 and VᵀV - 1, where the frozen vectors are 1 less the first pair."""
        u, v = self.U_residual.flatten(), self.V_residual.flatten()
        first_u, _, first_v = (part.flatten() for part in self.first)
        return [now.dot(now) ** 2 + 1 - 2 * now.dot(then) ** 2 for now, then in ((u, first_u), (v, first_v))]

    def energy(self):
        """How far the sum of the squares of the weight is from what it was."""
        u, s, v = self.U_residual.flatten(), self.S_residual, self.V_residual.flatten()
        within = 2 * s * u.dot(self.weight_main @ v) + s**2 * u.dot(u) * v.dot(v)
        return (within - self.first[1] ** 2).abs().sum()

    def penalties_written_out(self):
        """The same as the code has them, in double precision: two lengths and the difference of energies."""
        u = torch.cat([self.kept[0], self.U_residual], dim=1).double()
        v = torch.cat([self.kept[1], self.V_residual], dim=0).double()
        one = torch.eye(len(u), dtype=torch.double)
        energies = [weight.double().norm() ** 2 for weight in (self.weight(), self.original)]
        return (u @ u.T - one).norm(), (v @ v.T - one).norm(), (energies[0] - energies[1]).abs()


def decompose(tower):
    """Decomposes the attention weights of every layer; returns them by name."""
    for layer in tower.encoder.layers:
        for name in PROJECTIONS:
            setattr(layer.self_attn, name, Decomposed(getattr(layer.self_attn, name)))
    return decomposed(tower)


def decomposed(tower):
    return {name: layer for name, layer in tower.named_modules() if isinstance(layer, Decomposed)}


def move(layers, generator):
    """What training might have made of U, S and V: far from the start, where the penalties' slopes are rounding."""
    for layer in layers.values():
        for part in (layer.U_residual, layer.V_residual):
            part.data += 0.5 * torch.randn(part.shape, generator=generator) / part.numel() ** 0.5
        layer.S_residual.data += 0.5 + torch.rand(1, generator=generator)


def checkpoint(generator):
    """A trained detector: the tower and its head, in Effort's names and as transformers has a merged one."""
    tower = CLIPVisionModel(CLIPVisionConfig(**TOWER)).eval()
    plain = CLIPVisionModel(CLIPVisionConfig(**TOWER, attn_implementation="eager")).eval()
    head = nn.Linear(TOWER["hidden_size"], 2)
    with torch.no_grad():
        randomise(tower, generator)
        layers = decompose(tower)
        move(layers, generator)
        head.weight.copy_(0.3 * torch.randn(head.weight.shape, generator=generator))
        head.bias.copy_(0.3 * torch.randn(2, generator=generator))
        weights = {f"{name}.weight": layer.weight() for name, layer in layers.items()}
        whole = {name: value for name, value in tower.state_dict().items() if not name.endswith(("_main", "_residual"))}
        plain.load_state_dict(whole | weights)
    tensors = {f"backbone.{name}": value for name, value in tower.state_dict().items()}
    tensors |= {f"head.{name}": value for name, value in head.state_dict().items()}
    return tensors, tower, plain, head, {f"merged.backbone.{name}": value for name, value in weights.items()}


def save_checkpoint(output, generator):
    """Writes the checkpoint and what it answers."""
    tensors, tower, plain, head, weights = checkpoint(generator)
    pixels = torch.randn(3, 3, TOWER["image_size"], TOWER["image_size"], generator=generator)
    labels = torch.tensor([0, 1, 1])
    features = plain(pixels).pooler_output
    assert torch.allclose(features, tower(pixels).pooler_output, atol=1e-5)
    logits = head(features)
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    parameters = {f"backbone.{name}": p for name, p in plain.named_parameters()}
    parameters |= {f"head.{name}": p for name, p in head.named_parameters()}
    reference = {"pixel_values": pixels, "labels": labels, "features": features, "logits": logits, "loss": loss[None]}
    reference |= weights | {f"gradient.{name}": parameters[name].grad for name in GRADIENTS}
    save_file(plain_tensors(tensors), output / "effort_tiny.safetensors", {"format": "pt"})
    save_file(plain_tensors(reference), output / "effort_reference.safetensors")


def plain_tensors(tensors):
    return {name: value.detach().clone().contiguous() for name, value in tensors.items()}


def named(tower, head):
    """All parameters by the detector file's names, the parts of a weight by Effort's."""
    found = {our_name(name): parameter for name, parameter in tower.named_parameters()}
    return found | {f"head.layers.0.{name}": parameter for name, parameter in head.named_parameters()}


def load(folder, moved=None):
    """The tiny tower, decomposed, a head on it, and their parameters by name."""
    tower = CLIPVisionModel.from_pretrained(folder / "clip_tiny", attn_implementation="eager").float()
    stored = load_file(folder / "clip_tiny" / "head1.safetensors")
    head = nn.Linear(tower.config.hidden_size, 2)
    head.load_state_dict({"weight": stored["model.linear.weight"], "bias": stored["model.linear.bias"]})
    decompose(tower)
    parameters = named(tower, head)
    for name, value in (moved or {}).items():
        parameters[name].data.copy_(value)
    return tower, head, parameters


def penalties(case, tower):
    """Means over the decomposed weights."""
    layers = decomposed(tower).values()
    if case == "norms":
        orthogonality = [sum(0.5 * square.sqrt() for square in layer.orthogonality()) for layer in layers]
        for layer, found in zip(layers, orthogonality):
            u, v, energy = layer.penalties_written_out()
            assert (found - 0.5 * (u + v)).abs() < 1e-5 * (u + v) and (layer.energy() - energy).abs() < 1e-4 * energy
    else:
        orthogonality = [sum(layer.orthogonality()) for layer in layers]
    return torch.stack(orthogonality).mean(), torch.stack([layer.energy() for layer in layers]).mean()


def steps(case, model, pixels, labels):
    """Two steps of a model that is at its start."""
    tower, head, parameters = model
    trained = {name: p for name, p in parameters.items() if name.endswith(tuple(PARTS)) or name.startswith("head.")}
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in trained)
    optimizer = torch.optim.Adam(trained.values(), lr=RATES[0], weight_decay=5e-4)
    found = {}
    for step, rate in enumerate(RATES):
        optimizer.param_groups[0]["lr"] = rate
        prefix = f"{case}.{step + 1}"
        loss = functional.cross_entropy(head(tower(pixels[step]).pooler_output), labels)
        if case != "plain":
            orthogonality, energy = penalties(case, tower)
            loss = loss + orthogonality + energy
            found |= {f"{prefix}.orthogonality": orthogonality[None], f"{prefix}.energy": energy[None]}
        optimizer.zero_grad()
        loss.backward()
        found[f"{prefix}.loss"] = loss[None]
        if step == 0:
            found |= {f"{prefix}.gradient.{name}": p.grad.clone() for name, p in trained.items()}
        optimizer.step()
        found |= {f"{prefix}.parameter.{name}": p.detach().clone() for name, p in trained.items()}
    return found | merged(case, tower)


def merged(case, tower):
    """The attention weights after the last step."""
    if case != "plain":
        return {}
    weights = {our_name(f"{name}.weight"): layer.weight() for name, layer in decomposed(tower).items()}
    return {f"{case}.{len(RATES)}.merged.{name}": value for name, value in weights.items()}


def save_steps(output, generator):
    """Writes the steps of training, and checks that the signs of a decomposition change none of them."""
    pixels = torch.randn(len(RATES), len(LABELS), 3, TOWER["image_size"], TOWER["image_size"], generator=generator)
    labels = torch.tensor(LABELS)
    tower, _, parameters = load(output)
    starts = {"start": plain_tensors(parameters)}
    move(decomposed(tower), generator)
    starts["moved"] = {name: p.detach().clone() for name, p in parameters.items() if name.endswith(tuple(PARTS))}
    tensors = {"pixel_values": pixels, "labels": labels.float()}
    tensors |= {f"{start}.{name}": value for start, values in starts.items() for name, value in values.items()}
    for case, start in CASES.items():
        found = steps(case, load(output, starts[start]), pixels, labels)
        turned = {n: -v if n.endswith(("U_residual", "V_residual")) else v for n, v in starts[start].items()}
        other = steps(case, load(output, turned), pixels, labels)
        assert all(torch.allclose(found[n], other[n], atol=1e-6) for n in found if "loss" in n or "merged" in n)
        tensors |= found
    save_file(plain_tensors(tensors), output / "effort_step.safetensors")


def count():
    """Trained parameters of ViT-L/14 beside the frozen ones, and the head's."""
    with torch.device("meta"):
        tower = CLIPVisionModel(CLIPVisionConfig(**VIT_L_14))
    weights = [module.weight.shape for name, module in tower.named_modules() if name.endswith(tuple(PROJECTIONS))]
    total = sum(p.numel() for p in tower.parameters()) + 2 * VIT_L_14["hidden_size"] + 2
    return sum(out + 1 + into for out, into in weights), 2 * VIT_L_14["hidden_size"] + 2, total


def main():
    torch.set_num_threads(1)
    output = output_argument(__doc__).parse_args().output
    generator = torch.Generator().manual_seed(SEED)
    save_checkpoint(output, generator)
    save_steps(output, generator)
    residual, head, total = count()
    print(f"ViT-L/14: {residual} + {head} trained, {total} in the merged detector")


if __name__ == "__main__":
    main()
