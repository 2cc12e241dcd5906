"""EfficientNet and divided space-time attention written out in PyTorch: timesformer_tiny.safetensors and
timesformer_reference.safetensors.

The backbone is `efficientnet_pytorch`'s own class with fewer and narrower stages, TINY, on images whose sizes meet
every kind of padding; each position of its last map is a token. The blocks are those of facebookresearch/TimeSformer,
`timesformer/models/vit.py` (Bertasius et al., ICML 2021), checked here against those of transformers. The checkpoint
has efficientnet_pytorch's names under `backbone.`, and TimeSformer's for the rest. The reference holds
    pixel_values                [2,5,3,36,36], two clips; `labels` (i64)
    tokens                      [10,9,16], the backbone's last map, frame by frame
    features, logits            of all five frames; `loss`, their mean cross-entropy; `gradient.NAME` of its GRADIENTS
    tT.features, tT.logits      of the first T = 3 and 2 frames: fewer than the five time embeddings there are
    zero.features, zero.logits  of all five, with every `temporal_fc` at zero
    dropped.features, dropped.logits   of all five, with dropout of DROPPED wherever TimeSformer has it, by the numbers of
                                `uniform`, one for each activation, in the order of the forward pass and row by row
all with batch norms in inference mode, and but for the last without dropout. Where dropout is in transformers' TimeSformer
it is here, as is seen by putting a factor in its place, which has no order.
"""

import torch
from efficientnet_pytorch import EfficientNet
from efficientnet_pytorch.utils import BlockDecoder, get_model_params
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from transformers import TimesformerConfig, TimesformerModel

from common import output_argument

SEED = 20271
IMAGE = 36  # 36 → 18 (pads 0, 1) → 9 (1, 2) → 5 (1, 1) → 3 (2, 2)
CLIPS, FRAMES, SHORT = 2, 5, (3, 2)
WIDTH, HEADS, LAYERS, PATCHES = 16, 4, 2, 9
EPSILON = 1e-6
DROPPED = 0.25
# Channels are eighty times those of the network: width_coefficient divides them, and none goes below eight.
TINY = ["r1_k3_s11_e1_i640_o960_se0.25", "r2_k5_s22_e3_i960_o960_se0.25"]
TINY += ["r1_k3_s22_e2_i960_o640_se0.25", "r1_k5_s22_e4_i640_o960_se0.25"]
GRADIENTS = ["backbone._conv_stem.weight", "backbone._blocks.2._se_expand.bias", "backbone._conv_head.weight"]
GRADIENTS += ["cls_token", "pos_embed", "time_embed", "blocks.0.temporal_attn.qkv.weight"]
GRADIENTS += ["blocks.0.temporal_fc.weight", "blocks.1.attn.qkv.bias", "blocks.1.mlp.fc1.weight"]
GRADIENTS += ["norm.weight", "head.weight"]


def uniform():
    """A function that gives the next so many of a fixed sequence of numbers in 0..1: the multiples of the golden ratio's."""
    place = 0

    def following(shape):
        nonlocal place
        count = shape.numel()
        steps = torch.arange(place, place + count, dtype=torch.float64)
        place += count
        return (steps * 0.6180339887498949).frac().float().view(shape)
    return following


class Dropping:
    """What is done where dropout is."""

    change = staticmethod(lambda x: x)

    def __init__(self, change):
        self.change = change

    def __enter__(self):
        self.kept, Dropping.change = Dropping.change, staticmethod(self.change)

    def __exit__(self, *_):
        Dropping.change = staticmethod(self.kept)


def by_masks():
    """Dropout by the fixed numbers."""
    following, keep = uniform(), 1 - DROPPED
    return lambda x: x * (following(x.shape) < keep) / keep


class Attention(nn.Module):
    """Self-attention over the middle axis of [n, length, width]."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1)
        return self.proj((weights @ value).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two layers with the exact GELU between them."""

    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        return Dropping.change(self.fc2(Dropping.change(functional.gelu(self.fc1(x)))))


class Block(nn.Module):
    """Attention over times, then over the patches of a frame, then the two layers."""

    def __init__(self, width, heads):
        super().__init__()
        self.temporal_norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.temporal_attn = Attention(width, heads)
        self.temporal_fc = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Mlp(width)

    def forward(self, cls, patches):
        """cls [b,1,d] and patches [b,l,t,d], both changed."""
        clips, _, frames, _ = patches.shape
        x = Dropping.change(self.temporal_attn(self.temporal_norm1(patches).flatten(0, 1))).unflatten(0, (clips, -1))
        patches = patches + self.temporal_fc(x)
        copies = cls[:, None].expand(-1, frames, -1, -1)
        x = torch.cat([copies, patches.transpose(1, 2)], dim=2)  # b t 1+l d
        x = Dropping.change(self.attn(self.norm1(x).flatten(0, 1))).unflatten(0, (clips, frames))
        cls = cls + x[:, :, 0].mean(1, keepdim=True)
        patches = patches + x[:, :, 1:].transpose(1, 2)
        x = torch.cat([cls, patches.flatten(1, 2)], dim=1)
        x = x + self.mlp(self.norm2(x))
        return x[:, :1], x[:, 1:].unflatten(1, patches.shape[1:3])


class TimeSformer(nn.Module):
    """The backbone, the blocks and a linear head."""

    def __init__(self, backbone, width, heads, layers, patches, frames):
        super().__init__()
        self.backbone = backbone
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + patches, width))
        self.time_embed = nn.Parameter(torch.empty(1, frames, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.head = nn.Linear(width, 2)

    def times(self, frames):
        """Embeddings [frames, d]: for another number of frames, those nearest from below, as in the source."""
        stored = self.time_embed.shape[1]
        return self.time_embed[0, [index * stored // frames for index in range(frames)]]

    def trunk(self, tokens):
        """Features [b,d] of tokens [b,t,l,d]."""
        clips, frames = tokens.shape[:2]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(clips, -1, -1)
        cls = Dropping.change(cls)
        patches = Dropping.change(tokens.transpose(1, 2) + self.pos_embed[:, 1:, None])  # b l t d
        patches = Dropping.change(patches + self.times(frames))
        for block in self.blocks:
            cls, patches = block(cls, patches)
        return self.norm(cls)[:, 0]

    def tokens(self, pixels):
        """Tokens [b,t,l,d] of clips [b,t,3,h,w]."""
        return self.backbone.extract_features(pixels.flatten(0, 1)).flatten(2).mT.unflatten(0, pixels.shape[:2])

    def forward(self, pixels):
        features = self.trunk(self.tokens(pixels))
        return features, self.head(features)


def tiny_network():
    """Stem 8; blocks 8→12, 12→12, 12→12 with a residual, 12→8, 8→12; last convolution 16; two blocks of four heads."""
    _, parameters = get_model_params("efficientnet-b0", {"include_top": False})
    parameters = parameters._replace(image_size=IMAGE, width_coefficient=WIDTH / 1280, depth_divisor=4, min_depth=8)
    backbone = EfficientNet(BlockDecoder.decode(TINY), parameters)
    return TimeSformer(backbone, WIDTH, HEADS, LAYERS, PATCHES, FRAMES).eval()


def whole_network():
    """EfficientNet-B0 and one block over eight frames."""
    return TimeSformer(EfficientNet.from_name("efficientnet-b0", include_top=False), 1280, 8, 1, 49, 8)


def float_tensors(network):
    """The state without its counters."""
    return {name: value for name, value in network.state_dict().items() if value.is_floating_point()}


def randomise(network, generator):
    """Fills parameters so that nothing is trivially 0 or 1, and the statistics with those of some noise."""
    for name, value in float_tensors(network).items():
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith(("bias", "_embed", "_token")):
            noise = 0.3 * noise
        elif value.dim() == 1:
            noise = 1.25 + 0.2 * noise
        else:
            noise = (3 if "_se_" in name else 1) * noise / value[0].numel() ** 0.5
        value.copy_(noise)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    network.backbone.extract_features(torch.randn(4, 3, IMAGE, IMAGE, generator=generator))
    for norm in norms:
        norm.eval()


HF_NAMES = {"blocks.": "encoder.layer.", "cls_token": "embeddings.cls_token"}
HF_NAMES |= {"pos_embed": "embeddings.position_embeddings", "time_embed": "embeddings.time_embeddings"}
HF_NAMES |= {"temporal_norm1": "temporal_layernorm"}
HF_NAMES |= {"temporal_attn.qkv": "temporal_attention.attention.qkv", "temporal_fc": "temporal_dense"}
HF_NAMES |= {"temporal_attn.proj": "temporal_attention.output.dense", ".norm1": ".layernorm_before"}
HF_NAMES |= {".attn.qkv": ".attention.attention.qkv", ".attn.proj": ".attention.output.dense"}
HF_NAMES |= {".norm2": ".layernorm_after", "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}


def check_with_transformers(network, pixels):
    """Features equal those of transformers' TimeSformer on the backbone's map, one token a pixel of it."""
    side = int(PATCHES**0.5)
    config = TimesformerConfig(image_size=side, patch_size=1, num_channels=WIDTH, num_frames=FRAMES)
    config.update(dict(hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_attention_heads=HEADS))
    config.update(dict(num_hidden_layers=LAYERS, layer_norm_eps=EPSILON, drop_path_rate=0))
    theirs = TimesformerModel(config).eval()
    tensors = {"embeddings.patch_embeddings.projection.weight": torch.eye(WIDTH)[:, :, None, None]}
    tensors["embeddings.patch_embeddings.projection.bias"] = torch.zeros(WIDTH)
    for name, value in float_tensors(network).items():
        if name.startswith("norm."):
            tensors["layernorm." + name.removeprefix("norm.")] = value
        elif not name.startswith(("backbone.", "head.")):
            for ours, hf in HF_NAMES.items():
                name = name.replace(ours, hf)
            tensors[name] = value
    theirs.load_state_dict(tensors)
    for frames in (FRAMES, *SHORT):
        theirs.config.num_frames = frames
        tokens = network.tokens(pixels[:, :frames])
        answer = theirs(tokens.mT.unflatten(3, (side, side))).last_hidden_state[:, 0]
        torch.testing.assert_close(network.trunk(tokens), answer, rtol=1e-5, atol=1e-5)
    theirs.config.num_frames = FRAMES
    tokens = network.tokens(pixels)
    for name, module in theirs.named_modules():
        # That of attention's weights is zero in TimeSformer.
        if isinstance(module, nn.Dropout) and not name.endswith("attn_drop"):
            module.forward = lambda x: 0.9 * x
    answer = theirs(tokens.mT.unflatten(3, (side, side))).last_hidden_state[:, 0]
    with Dropping(lambda x: 0.9 * x):
        torch.testing.assert_close(network.trunk(tokens), answer, rtol=1e-5, atol=1e-5)
    assert (network.trunk(tokens) - answer).abs().max() > 1e-2


def check_that_all_counts(network, pixels):
    """Every tensor at zero changes the logits by over a hundredth; returns the least change."""
    logits = network(pixels)[1]
    changes = {}
    for name, value in float_tensors(network).items():
        kept = value.clone()
        value.zero_()
        changes[name] = (network(pixels)[1] - logits).abs().max().item() / logits.abs().max().item()
        value.copy_(kept)
    least = min(changes, key=changes.get)
    assert changes[least] > 1e-2, (least, changes[least])
    return least, changes[least]


def main():
    output = output_argument(__doc__).parse_args().output
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    network = tiny_network()
    with torch.no_grad():
        randomise(network, generator)
    pixels = torch.randn(CLIPS, FRAMES, 3, IMAGE, IMAGE, generator=generator)
    labels = torch.tensor([0, 1])
    features, logits = network(pixels)
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    reference = {"pixel_values": pixels, "labels": labels, "features": features, "logits": logits, "loss": loss[None]}
    parameters = dict(network.named_parameters())
    reference |= {f"gradient.{name}": parameters[name].grad for name in GRADIENTS}
    with torch.no_grad():
        check_with_transformers(network, pixels)
        least, change = check_that_all_counts(network, pixels)
        reference["tokens"] = network.tokens(pixels).flatten(0, 1)
        for frames in SHORT:
            short = network(pixels[:, :frames])
            reference |= {f"t{frames}.features": short[0], f"t{frames}.logits": short[1]}
        with Dropping(by_masks()):
            reference |= dict(zip(("dropped.features", "dropped.logits"), network(pixels)))
        tensors = {name: value.clone() for name, value in float_tensors(network).items()}
        save_file(tensors, output / "timesformer_tiny.safetensors", {"format": "pt"})
        for block in network.blocks:
            nn.init.zeros_(block.temporal_fc.weight)
            nn.init.zeros_(block.temporal_fc.bias)
        reference |= dict(zip(("zero.features", "zero.logits"), network(pixels)))
    plain = {name: value.detach().clone().contiguous() for name, value in reference.items()}
    save_file(plain, output / "timesformer_reference.safetensors")
    whole = whole_network()
    count = lambda module: sum(parameter.numel() for parameter in module.parameters())
    print(f"loss {loss.item():.4f}; {least} counts least, {change:.4f} of the logits")
    print(f"whole: {count(whole):,} parameters, of which the backbone {count(whole.backbone):,}")


if __name__ == "__main__":
    main()
