"""UDD written out in PyTorch: makes udd_tiny.safetensors and udd_reference.safetensors.

UDD (Fu et al., "Exploring Unbiased Deepfake Detection via Token-Level Shuffling and Mixing", AAAI 2025) trains CLIP by
three branches of the same weights: the image as it is; its patches shuffled in blocks of 2x2, with the position
embeddings of a random part of the grid; and with some patches of another image of the same label from the middle of
the tower on. There is no published code: what the text leaves open is chosen here. Everything random is a function of
numbers uniform in [0, 1), taken as `Chance` of core/src/layers/pass.rs takes them.

udd_tiny.safetensors is the detector, in GenD's names. udd_reference.safetensors has
    pixel_values [5,3,24,24], labels [5] (i64), one of them without another of its kind
    uniforms                 the numbers, in the order in which they are drawn
    permutation [5,36]       which patch stands at each place of the shuffled branch
    crops [5,4]              left, top, width and height of the part of the grid that gives positions
    positions [5,37,16]      the position embeddings of that branch
    after [1]                how many layers come before patches are mixed
    partners [5]             who gives patches to each image (itself: nobody)
    swapped [5,11]           which patches (-1: none), counted without the class token
    features, logits         of the image as it is, and shuffle.*, mix.* of the other branches
    projection.*             weights of the three layers that the contrastive loss looks through
    cross_entropy [3]        of the branches; contrastive [2], divergence [2] of shuffle and mix against the first
    loss [1]                 sum of the first, and a tenth of the sum of each of the others
    gradient.NAME            of some parameters
    odd.uniforms, odd.permutation [49]   a shuffle of 7x7 patches
All integers are i64. LoRA, by which the paper trains the tower, is in lora_goldens.py.
"""

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from clip_goldens import PREFIX, randomise
from common import output_argument
from lora_goldens import VIT_B_16, count

SEED = 20341
TOWER = dict(image_size=24, patch_size=4, hidden_size=16, num_hidden_layers=6)
TOWER |= dict(num_attention_heads=2, intermediate_size=32)
ODD = 7  # as ViT-B/32 has
GRID = TOWER["image_size"] // TOWER["patch_size"]
LABELS = [1, 1, 0, 1, 1]
PROJECTED, TRULY_PROJECTED = 8, 128
BLOCK = 2
LEAST_AREA = 60 / 196
WIDEST = 4 / 3
MIXED = 0.3
TEMPERATURE = 0.1
CONTRASTIVE, DIVERGENCE = 0.1, 0.1
GRADIENTS = ["embeddings.class_embedding", "embeddings.patch_embedding.weight", "embeddings.position_embedding.weight"]
GRADIENTS += ["pre_layrnorm.weight", "encoder.layers.0.self_attn.q_proj.weight", "encoder.layers.2.mlp.fc2.weight"]
GRADIENTS += ["encoder.layers.5.self_attn.v_proj.weight", "post_layernorm.bias"]


class Chance:
    """Choices as functions of numbers uniform in [0, 1)."""

    def __init__(self, numbers):
        self.numbers = numbers.tolist()

    def uniform(self):
        return self.numbers.pop(0)

    def below(self, count):
        """One of 0..count."""
        return min(int(self.uniform() * count), count - 1)

    def permutation(self, count):
        """Fisher and Yates, from the end."""
        order = list(range(count))
        for last in range(count - 1, 0, -1):
            chosen = self.below(last + 1)
            order[last], order[chosen] = order[chosen], order[last]
        return order


class Fresh(Chance):
    """Makes the numbers: middles of equal parts of [0, 1), so that no choice hangs on rounding."""

    def __init__(self, generator):
        self.generator, self.drawn = generator, []

    def uniform(self):
        self.below(64)
        return self.drawn[-1]

    def below(self, count):
        chosen = torch.randint(count, (), generator=self.generator).item()
        self.drawn.append((chosen + 0.5) / count)
        return chosen


def shuffled(chance, grid):
    """Which patch stands at each place: whole blocks change places; an odd grid's last row and column stay."""
    places = torch.arange(grid * grid).reshape(grid, grid)
    blocks = grid // BLOCK
    even = places[: blocks * BLOCK, : blocks * BLOCK].unflatten(1, (blocks, BLOCK)).unflatten(0, (blocks, BLOCK))
    even = even.transpose(1, 2).flatten(0, 1)[chance.permutation(blocks * blocks)]  # [block, row, column]
    even = even.unflatten(0, (blocks, blocks)).transpose(1, 2).flatten(2).flatten(0, 1)
    result = places.clone()
    result[: blocks * BLOCK, : blocks * BLOCK] = even
    return result.flatten()


def crop(chance, grid):
    """Left, top, width and height of a part of the grid, in cells: area, then shape, then place."""
    area = grid * grid * (LEAST_AREA + (1 - LEAST_AREA) * chance.uniform())
    shape = WIDEST ** (2 * chance.uniform() - 1)
    sides = [(area * shape) ** 0.5, (area / shape) ** 0.5]
    assert all(abs(side % 1 - 0.5) > 0.01 for side in sides), "rounding is not clear: take another seed"
    width, height = (min(max(int(side + 0.5), 1), grid) for side in sides)
    return [chance.below(grid - width + 1), chance.below(grid - height + 1), width, height]


def mixed(chance, image, labels, patches):
    """Who gives patches to an image, and which: none where nobody else has its label."""
    others = [other for other, label in enumerate(labels) if label == labels[image] and other != image]
    count = int(MIXED * patches + 0.5)
    if not others:
        return image, [-1] * count
    return others[chance.below(len(others))], chance.permutation(patches)[:count]


def choices(chance, labels, grid, depth):
    """Everything random of one step, in the order of the passes."""
    shuffles = [(shuffled(chance, grid), crop(chance, grid)) for _ in labels]
    first, last = depth * 5 // 12, depth * 8 // 12
    after = first + chance.below(last - first + 1)
    mixes = [mixed(chance, image, labels, grid * grid) for image in range(len(labels))]
    return {
        "permutation": torch.stack([permutation for permutation, _ in shuffles]),
        "crops": torch.tensor([part for _, part in shuffles]),
        "after": torch.tensor([after]),
        "partners": torch.tensor([partner for partner, _ in mixes]),
        "swapped": torch.tensor([places for _, places in mixes]),
    }


def cropped(positions, crops, grid):
    """Position embeddings [1+l,d] of each image: the class token's, and the part of the grid at its size."""
    maps = positions[1:].T.unflatten(1, (grid, grid))
    found = []
    for left, top, width, height in crops.tolist():
        part = maps[None, :, top : top + height, left : left + width]
        part = functional.interpolate(part, size=(grid, grid), mode="bilinear", align_corners=False)
        found.append(torch.cat([positions[:1], part[0].flatten(1).T]))
    return torch.stack(found)


def projection(width, projected):
    """The layers that the contrastive loss looks through; no detector keeps them."""
    hidden = [nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(width, projected))


class Detector(nn.Module):
    """The tower, the head on its unit features, and the layers that the contrastive loss looks through."""

    def __init__(self):
        super().__init__()
        self.tower = CLIPVisionModel(CLIPVisionConfig(**TOWER, attn_implementation="eager"))
        self.head = nn.Linear(TOWER["hidden_size"], 2)
        self.projection = projection(TOWER["hidden_size"], PROJECTED)

    def tokens(self, pixels, drawn=None):
        """What goes into the first layer, shuffled where choices are given, and the position embeddings."""
        embeddings = self.tower.embeddings
        patches = embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        positions = embeddings.position_embedding.weight
        if drawn is not None:
            patches = torch.stack([image[order] for image, order in zip(patches, drawn["permutation"])])
            positions = cropped(positions, drawn["crops"], GRID)
        cls = embeddings.class_embedding.expand(len(pixels), 1, -1)
        return self.tower.pre_layrnorm(torch.cat([cls, patches], dim=1) + positions), positions

    def through(self, x, drawn=None):
        """Features and logits of tokens, mixed on their way where choices are given."""
        for index, layer in enumerate(self.tower.encoder.layers):
            x = layer(x, attention_mask=None)
            x = x[0] if isinstance(x, tuple) else x
            if drawn is not None and index + 1 == drawn["after"].item():
                x = mix(x, drawn["partners"], drawn["swapped"])
        features = functional.normalize(self.tower.post_layernorm(x[:, 0]), dim=-1)
        return features, self.head(features)


def mix(x, partners, swapped):
    """Gives each image its partner's tokens, as they were before any was given away."""
    result = x.clone()
    for image, (partner, places) in enumerate(zip(partners, swapped)):
        if partner != image:
            result[image, 1 + places] = x[partner, 1 + places]
    return result


def contrastive(first, second):
    """InfoNCE of projections [n,d], both ways: an image's two branches against those of the other images."""
    first, second = functional.normalize(first, dim=-1), functional.normalize(second, dim=-1)
    similarity = first @ second.T / TEMPERATURE
    same = torch.arange(len(first))
    return (functional.cross_entropy(similarity, same) + functional.cross_entropy(similarity.T, same)) / 2


def divergence(first, second):
    """Mean Jensen-Shannon divergence of the answers to logits [n,2], in nats."""
    first, second = first.log_softmax(-1), second.log_softmax(-1)
    middle = torch.logaddexp(first, second) - torch.tensor(2.0).log()
    return sum((answer.exp() * (answer - middle)).sum(-1).mean() for answer in (first, second)) / 2


def step(model, pixels, labels, drawn):
    """The three branches and the loss."""
    x, _ = model.tokens(pixels)
    moved, positions = model.tokens(pixels, drawn)
    branches = {"": model.through(x), "shuffle.": model.through(moved), "mix.": model.through(x, drawn)}
    found = {"positions": positions}
    for name, (features, logits) in branches.items():
        found |= {f"{name}features": features, f"{name}logits": logits}
    (features, logits), *others = branches.values()
    projected = model.projection(features)
    found["cross_entropy"] = torch.stack([functional.cross_entropy(l, labels) for _, l in branches.values()])
    found["contrastive"] = torch.stack([contrastive(projected, model.projection(f)) for f, _ in others])
    found["divergence"] = torch.stack([divergence(logits, l) for _, l in others])
    loss = found["cross_entropy"].sum() + CONTRASTIVE * found["contrastive"].sum()
    found["loss"] = (loss + DIVERGENCE * found["divergence"].sum())[None]
    return found


def fill(model, generator):
    """Random weights, such that the branches differ clearly, and the logits of unit features are of order one."""
    with torch.no_grad():
        randomise(model, generator)
        for layer in model.tower.encoder.layers:
            layer.self_attn.out_proj.weight.mul_(3.0)
        model.tower.embeddings.position_embedding.weight.mul_(2.0)
        model.head.weight.mul_(12.0)
        model.projection[0].weight.mul_(6.0)


def draw(generator):
    """The choices of one step and of an odd grid, with the numbers that they are functions of."""
    fresh, odd = Fresh(generator), Fresh(generator)
    depth = TOWER["num_hidden_layers"]
    first = choices(fresh, LABELS, GRID, depth)
    place = shuffled(odd, ODD)
    uniforms = {"uniforms": torch.tensor(fresh.drawn), "odd.uniforms": torch.tensor(odd.drawn)}
    again, chance = Chance(uniforms["odd.uniforms"]), Chance(uniforms["uniforms"])
    drawn = choices(chance, LABELS, GRID, depth)
    assert all(torch.equal(drawn[name], first[name]) for name in first) and torch.equal(shuffled(again, ODD), place)
    assert not chance.numbers and not again.numbers
    return drawn, uniforms | {"odd.permutation": place}


def checked(model, pixels, drawn):
    """The model, where its branches without shuffling and mixing are what transformers answers."""
    features = functional.normalize(model.tower(pixels).pooler_output, dim=-1)
    nothing = {"permutation": torch.arange(GRID * GRID).expand(len(pixels), -1),
               "crops": torch.tensor([[0, 0, GRID, GRID]] * len(pixels)),
               "partners": torch.arange(len(pixels)), "swapped": drawn["swapped"], "after": drawn["after"]}
    for x in (model.tokens(pixels)[0], model.tokens(pixels, nothing)[0]):
        assert torch.allclose(model.through(x)[0], features, atol=1e-5)
    assert torch.allclose(model.through(x, nothing)[0], features, atol=1e-5)
    return model


def main():
    torch.set_num_threads(1)
    output = output_argument(__doc__).parse_args().output
    generator = torch.Generator().manual_seed(SEED)
    model = Detector().eval()
    fill(model, generator)
    pixels = torch.randn(len(LABELS), 3, TOWER["image_size"], TOWER["image_size"], generator=generator)
    labels = torch.tensor(LABELS)
    drawn, numbers = draw(generator)
    found = step(checked(model, pixels, drawn), pixels, labels, drawn)
    found["loss"].sum().backward()
    prefix = f"feature_extractor.{PREFIX}"
    detector = {prefix + name: value for name, value in model.tower.state_dict().items()}
    detector |= {f"model.linear.{name}": value for name, value in model.head.state_dict().items()}
    reference = {"pixel_values": pixels, "labels": labels} | numbers | drawn | found
    reference |= {f"projection.{name}": value for name, value in model.projection.state_dict().items()}
    gradients = {prefix + name: model.tower.get_parameter(name).grad for name in GRADIENTS}
    gradients |= {"model.linear.weight": model.head.weight.grad, "projection.0.weight": model.projection[0].weight.grad}
    gradients |= {"projection.4.bias": model.projection[4].bias.grad}
    reference |= {f"gradient.{name}": value for name, value in gradients.items()}
    plain = lambda tensors: {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    save_file(plain(detector), output / "udd_tiny.safetensors", {"format": "pt"})
    save_file(plain(reference), output / "udd_reference.safetensors")
    values = {name: [round(value, 4) for value in found[name].tolist()]
              for name in ("cross_entropy", "contrastive", "divergence", "loss")}
    layers = sum(p.numel() for p in projection(VIT_B_16["hidden_size"], TRULY_PROJECTED).parameters())
    print(f"ViT-B/16: {count(VIT_B_16)['lora']} trained that the detector keeps, {layers} of the projection")
    print(f"{values}, mixed after layer {drawn['after'].item()}, parts of the grid {drawn['crops'].tolist()}")


if __name__ == "__main__":
    main()
