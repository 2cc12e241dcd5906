"""Makes explain.safetensors: what in a picture speaks for either class, by PyTorch's gradients, for tiny models of each kind.

The models and pictures are those of other goldens: clip_tiny, efficientnet_tiny, stan_attention, timesformer_tiny and tall_tiny.
For each, MODEL.fake and MODEL.real are [clips, T, places], from one backward pass of the margin (the logit of fake less that of
real) and of its negative:
- transformers: rollout of attention weighted by its gradient, R <- R + mean over heads of (gradient * attention)+ * R, as in
  Chefer, Gur and Wolf, "Generic Attention-model Explainability" (ICCV 2021), equations 5 and 6, of whole matrices. Where
  attention is divided, tokens that are copied, averaged or added pass their rows of R on in the same way.
- convolutional networks and Swin: Grad-CAM (Selvaraju et al., ICCV 2017) of the last maps; TALL's, which show four frames as
  quarters, are made twice as fine first.
"""

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel
from transformers.models.clip.modeling_clip import CLIPAttention

import stan_reference
import tall_goldens
import timesformer_reference
from common import GOLDENS, output_argument
from efficientnet_goldens import tiny_network


class Kept:
    """Tensors of a forward pass whose gradients are asked for, in its order."""

    def __init__(self):
        self.tensors = []

    def keep(self, tensor):
        tensor.retain_grad()
        self.tensors.append(tensor)

    def evidence(self, logits):
        """For either class: attention times its gradient, what is negative left out, mean over heads."""
        margin = (logits[:, 1] - logits[:, 0]).sum()
        gradients = torch.autograd.grad(margin, self.tensors, allow_unused=True)
        for sign in (1, -1):
            yield [torch.zeros_like(kept).mean(1) if gradient is None else (sign * kept * gradient).relu().mean(1)
                   for kept, gradient in zip(self.tensors, gradients)]


def attention_of(model, kept):
    """Has the attention of transformers' CLIP kept."""
    for module in model.modules():
        if isinstance(module, CLIPAttention):
            module.register_forward_hook(lambda _, __, output: kept.keep(output[1]))


def identity(count, tokens):
    """R before the first layer."""
    return torch.eye(tokens).expand(count, -1, -1).clone()


def clip():
    """Class token to patches."""
    folder = GOLDENS / "clip_tiny"
    tower = CLIPVisionModel.from_pretrained(folder, attn_implementation="eager").eval()
    head = load_file(folder / "head1.safetensors")
    pixels = load_file(folder / "reference.safetensors")["pixel_values"]
    kept = Kept()
    attention_of(tower, kept)
    features = functional.normalize(tower(pixels).pooler_output, dim=-1)
    logits = functional.linear(features, head["model.linear.weight"], head["model.linear.bias"])
    for layers in kept.evidence(logits):
        relevance = identity(*layers[0].shape[:2])
        for layer in layers:
            relevance = relevance + layer @ relevance
        yield relevance[:, 0, 1:][:, None]


def stan():
    """The tower's frames and the branch beside its last layers."""
    model = stan_reference.Stan(CLIPVisionModel(CLIPVisionConfig(**stan_reference.SIZES)), "attention").eval()
    stored = load_file(GOLDENS / "stan_attention.safetensors")
    model.load_state_dict({name: stored[stan_reference.our_name(name)] for name in model.state_dict()})
    pixels = load_file(GOLDENS / "stan_reference.safetensors")["pixel_values"]
    clips, frames = pixels.shape[:2]
    kept = Kept()
    attention_of(model, kept)
    logits = model(pixels)[1]
    alone = len(model.tower.encoder.layers) - stan_reference.DEPTH
    for layers in kept.evidence(logits):
        yield torch.stack([stan_clip(layers, clip, frames, alone) for clip in range(clips)])


def stan_clip(layers, clip, frames, alone):
    """[T, L] of one clip."""
    tokens = layers[0].shape[1]
    tower = identity(1, frames * tokens)[0].unflatten(0, (frames, tokens))  # rows by frame, columns of all frames
    cls = patches = None
    rows = lambda layer: layer[clip * frames:][:frames]
    through = lambda tower, layer: tower + rows(layer) @ tower
    for layer in layers[:alone]:
        tower = through(tower, layer)
    for index in range(alone, len(layers), 3):
        layer, time, space = layers[index:index + 3]
        tower = through(tower, layer)
        seen_cls, seen = tower[:, 0].mean(0), tower[:, 1:]
        cls, patches = (seen_cls, seen) if cls is None else (cls + seen_cls, patches + seen)
        time = time[clip * (tokens - 1):][:tokens - 1]
        patches = patches + torch.einsum("ptu,upc->tpc", time, patches)
        by_frame = torch.cat([cls.expand(frames, 1, -1), patches], dim=1)
        change = rows(space) @ by_frame
        cls, patches = cls + change[:, 0].mean(0), patches + change[:, 1:]
    found = tower[:, 0].mean(0) + cls
    return found.unflatten(0, (frames, tokens))[:, 1:]


def timesformer():
    """Blocks of attention over time and within frames, on the places of a convolutional network's map."""
    network = timesformer_reference.tiny_network()
    network.load_state_dict(load_file(GOLDENS / "timesformer_tiny.safetensors"), strict=False)
    pixels = load_file(GOLDENS / "timesformer_reference.safetensors")["pixel_values"]
    kept = Kept()

    def forward(self, x):
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1)
        kept.keep(weights)
        return self.proj((weights @ value).transpose(1, 2).flatten(2))

    timesformer_reference.Attention.forward = forward
    logits = network(pixels)[1]
    clips, frames = pixels.shape[:2]
    for layers in kept.evidence(logits):
        found = []
        for clip in range(clips):
            places = layers[1].shape[1] - 1
            start = torch.eye(1 + frames * places)
            cls, patches = start[0], start[1:].unflatten(0, (frames, places))
            for time, space in zip(layers[::2], layers[1::2]):
                patches = patches + torch.einsum("ptu,upc->tpc", time[clip * places:][:places], patches)
                by_frame = torch.cat([cls.expand(frames, 1, -1), patches], dim=1)
                change = space[clip * frames:][:frames] @ by_frame
                cls, patches = cls + change[:, 0].mean(0), patches + change[:, 1:]
            found.append(cls[1:].unflatten(0, (frames, places)))
        yield torch.stack(found)


def cams(maps, logits):
    """Grad-CAM of maps [n,d,h,w] for either class."""
    gradient, = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), maps)
    for sign in (1, -1):
        yield (sign * gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(1).relu()


def efficientnet():
    """The last convolution's maps."""
    network = tiny_network()
    network.load_state_dict(load_file(GOLDENS / "efficientnet_tiny.safetensors"), strict=False)
    maps = network.extract_features(load_file(GOLDENS / "efficientnet_reference.safetensors")["pixel_values"])
    logits = network._fc(maps.mean(dim=(2, 3)))
    for cam in cams(maps, logits):
        yield cam.flatten(1)[:, None]


def tall():
    """The last maps after their norm."""
    network = tall_goldens.Tall(tall_goldens.swin(tall_goldens.WINDOWS, 2), tall_goldens.WIDTH).eval()
    stored = load_file(GOLDENS / "tall_tiny.safetensors")
    with torch.no_grad():
        for name, value in network.published().items():
            value.copy_(stored["model." + name])
    clips = load_file(GOLDENS / "tall_reference.safetensors")["pixel_values"]
    maps = network.swin.norm(network.swin.layers(network.tokens(clips))).permute(0, 3, 1, 2)
    logits = network.swin.head.fc(maps.mean(dim=(2, 3)))
    for cam in cams(maps, logits):
        fine = functional.interpolate(cam[:, None], scale_factor=2, mode="bilinear")[:, 0]
        side = cam.shape[-1]
        yield fine.unflatten(2, (2, side)).unflatten(1, (2, side)).permute(0, 1, 3, 2, 4).flatten(3).flatten(1, 2)


def main():
    output = output_argument(__doc__).parse_args().output
    torch.set_num_threads(1)
    found = {}
    for make in (clip, stan, timesformer, efficientnet, tall):
        fake, real = make()
        assert torch.maximum(fake, real).max() > 0, make.__name__
        found |= {f"{make.__name__}.fake": fake.detach().contiguous(), f"{make.__name__}.real": real.detach().contiguous()}
    save_file(found, output / "explain.safetensors")
    print({name: tuple(maps.shape) for name, maps in found.items()})


if __name__ == "__main__":
    main()
