"""What the scripts of the tiny transformers share: random weights, their checks, the files, and attention written out.

Each of those scripts runs the packaged network, writes its forward pass out once more on the tensors by their
published names, and holds the two against each other. Written out, a convention can be changed: `check_conventions`
changes one at a time and insists that the logits move, so that the golden file catches a port that has it wrong.
"""

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

HEARD = 1e-3
TOLD_APART = 1e-4
LABELS = [0, 1, 1]


class GenD(nn.Module):
    """A backbone under a linear head on its unit features, with the names of yermandy/GenD's published files."""

    def __init__(self, backbone, width):
        super().__init__()
        self.feature_extractor = nn.ModuleDict({"backbone": backbone})
        self.model = nn.ModuleDict({"linear": nn.Linear(width, 2)})

    def forward(self, pooled):
        """pooled [n,d]: unit features [n,d] and logits [n,2]."""
        features = functional.normalize(pooled, dim=1)
        return features, self.model["linear"](features)


class Weights:
    """Tensors of a checkpoint below a prefix, and the layers they belong to."""

    def __init__(self, tensors, prefix=""):
        self.tensors, self.prefix = tensors, prefix

    def below(self, name):
        """The tensors below one more name."""
        return Weights(self.tensors, f"{self.prefix}{name}.")

    def __getitem__(self, name):
        return self.tensors[self.prefix + name]

    def linear(self, name, x):
        """A linear layer, with or without bias."""
        return functional.linear(x, self[f"{name}.weight"], self.tensors.get(f"{self.prefix}{name}.bias"))

    def norm(self, name, x, eps):
        """A LayerNorm over the last axis."""
        return functional.layer_norm(x, x.shape[-1:], self[f"{name}.weight"], self[f"{name}.bias"], eps)

    def patches(self, name, pixels):
        """A convolution that does not overlap: [n,3,h,w] to tokens [n,l,d], row by row."""
        kernel = self[f"{name}.weight"]
        bias = self.tensors.get(f"{self.prefix}{name}.bias")
        return functional.conv2d(pixels, kernel, bias, stride=kernel.shape[-1]).flatten(2).transpose(1, 2)


def attend(query, key, value, heads, rotate=lambda tokens: tokens):
    """Attention of tokens [n,t,d] after their projections. `rotate` gets queries and keys as [n,heads,t,d/heads]."""
    q, k, v = (tokens.unflatten(-1, (heads, -1)).transpose(1, 2) for tokens in (query, key, value))
    weights = (rotate(q) @ rotate(k).transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def rotate(tokens, angles, first, interleaved):
    """Turns the channels of tokens [n,heads,t,width] in pairs, by angles [l,width/2] of the l tokens from `first` on.

    A pair is channels 2i and 2i + 1 if interleaved, otherwise i and i + width/2.
    """
    before, patches, after = tokens.split((first, len(angles), tokens.shape[2] - first - len(angles)), dim=2)
    a, b = (patches[..., 0::2], patches[..., 1::2]) if interleaved else patches.chunk(2, dim=-1)
    pair = [a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()]
    patches = torch.stack(pair, -1).flatten(-2) if interleaved else torch.cat(pair, -1)
    return torch.cat([before, patches, after], dim=2)


def is_scale(name):
    """Whether a parameter multiplies: its neutral value is one and not zero."""
    return name.endswith("lambda1") or ("norm" in name and name.endswith("weight"))


@torch.no_grad()
def randomise(model, generator):
    """Fills all parameters. What comes before the first LayerNorm is small, so that its epsilon counts."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if is_scale(name):
            value = 1.2 + 0.3 * noise
        elif "patch_embed" in name:
            value = 0.04 * (noise if noise.dim() == 1 else noise / noise[0].numel() ** 0.5)
        elif any(part in name for part in ("_token", "pos_embed", "class_embedding", "position_embedding")):
            value = 0.04 * noise
        elif name.endswith("latent"):
            value = noise
        elif name.endswith("bias"):
            value = 0.3 * noise
        else:
            sharp = any(part in name for part in (".mlp.", "qkv", "kv.", ".q.", "q_proj", "k_proj", "linear."))
            gain = 0.5 if "lora_" in name else 4.0 if sharp else 1.5
            value = noise * (gain / parameter[0].numel()) ** 0.5
        parameter.copy_(value)


def moved(logits, other):
    """How far logits are from others, in parts of the largest."""
    return ((logits - other).abs().max() / logits.abs().max()).item()


@torch.no_grad()
def check_parameters(model, logits_of, silent=lambda name: False):
    """Each parameter at its neutral value moves the logits, but for the silent ones, which do not."""
    logits = logits_of()
    for name, parameter in model.named_parameters():
        kept = parameter.clone()
        parameter.fill_(1.0 if is_scale(name) else 0.0)
        change = moved(logits, logits_of())
        parameter.copy_(kept)
        if silent(name):
            assert change < 1e-5, f"{name} was thought silent and moves the logits by {change:.1e}"
        else:
            assert change > HEARD, f"{name} moves the logits by no more than {change:.1e}"


@torch.no_grad()
def check_conventions(logits, written_out, changes):
    """The written out forward pass gives the logits, and with any one convention changed gives others."""
    assert moved(logits, written_out()) < 1e-5
    for name, value in changes.items():
        change = moved(logits, written_out(**{name: value}))
        print(f"  {name}={value} moves the logits by {change:.1e}")
        assert change > TOLD_APART, name


def answers(model, found, gradients, rename=lambda name: name):
    """The reference of what a forward pass `found` (`logits` and more): all of it, the loss and gradients by name."""
    labels = torch.tensor(LABELS)
    loss = functional.cross_entropy(found["logits"], labels)
    model.zero_grad()
    loss.backward()
    by_name = {rename(name): parameter.grad for name, parameter in model.named_parameters()}
    return found | {"labels": labels, "loss": loss[None]} | {f"gradient.{name}": by_name[name] for name in gradients}


def save(output, name, tensors, reference):
    """Writes NAME_tiny.safetensors and NAME_reference.safetensors."""
    for kind, values in (("tiny", tensors), ("reference", reference)):
        plain = {key: value.detach().clone().contiguous() for key, value in values.items()}
        save_file(plain, output / f"{name}_{kind}.safetensors", {"format": "pt"})


def count(model, trained=lambda name: True):
    """Parameters whose name is trained."""
    return sum(parameter.numel() for name, parameter in model.named_parameters() if trained(name))
