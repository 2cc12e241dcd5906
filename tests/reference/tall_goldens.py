"""Makes swin_tiny.safetensors and swin_reference.safetensors, a small Swin transformer, and tall_tiny.safetensors and
tall_reference.safetensors, TALL on one: four frames in a 2x2 thumbnail.

The networks are timm's `SwinTransformer` with few narrow blocks, on images of 64 in patches of 4.
swin_tiny is a classifier of three classes with windows of 2 under the names of timm's files. Its reference holds
    pixel_values                [2,3,64,64]; `labels` (i64)
    features, logits            and `loss`, their mean cross-entropy, and `gradient.NAME` of its SWIN_GRADIENTS
    interpolated.NAME           of every relative-position table after TALL's import of it into windows of 4, 4, 4, 2
    interpolated.{features,logits}  of the network with these windows and tables
tall_tiny has those windows and DeepfakeBench's names: `model.` before Microsoft's, which count a merging of patches to
the stage before it, and the buffers `relative_position_index` (i64) and `attn_mask` that its checkpoints carry. Its
reference holds
    pixel_values                [2,4,3,64,64], two clips; `labels` (i64)
    thumbnail                   [1,3,64,64], that of the first clip
    features, logits            and `loss`, `smoothed_loss` with labels smoothed by 0.1
    gradient.model.NAME         of its TALL_GRADIENTS
    half.pixel_values           [1,4,3,32,32], frames of half the size, which are doubled before they are halved
    half.{features,logits}
    repeated.{features,logits}  of clips of the first frame of each, four times
all without dropout. The formulation of TALL is that of rainy-xu/TALL4Deepfake, `my_models/tall_swin.py` (Xu et al.,
ICCV 2023), and of SCLBD/DeepfakeBench, `training/detectors/tall_detector.py`.
"""

import torch
from safetensors.torch import save_file
from timm.models.swin_transformer import SwinTransformer
from torch import nn
from torch.nn import functional

from common import output_argument

SEED = 20272
IMAGE, PATCH, WIDTH, ROWS = 64, 4, 4, 2
DEPTHS, HEADS = (2, 2, 2, 1), (2, 4, 8, 16)
PRETRAINED_WINDOWS = (2, 2, 2, 2)
WINDOWS = (4, 4, 4, 2)  # of maps of 16, 8, 4 and 2: the last two stages are one window, and do not shift
SWIN_GRADIENTS = ["patch_embed.proj.weight", "layers.0.blocks.1.attn.relative_position_bias_table"]
SWIN_GRADIENTS += ["layers.1.downsample.reduction.weight", "layers.2.blocks.1.attn.qkv.bias", "head.fc.weight"]
TALL_GRADIENTS = ["patch_embed.proj.weight", "patch_embed.norm.bias", "frame_pos_embed", "head.weight"]
TALL_GRADIENTS += [f"layers.{i}.blocks.1.attn.relative_position_bias_table" for i in range(3)]
TALL_GRADIENTS += ["layers.0.downsample.reduction.weight", "layers.2.blocks.0.mlp.fc1.weight"]
TALL_GRADIENTS += ["layers.3.blocks.0.attn.qkv.weight", "norm.weight"]


def swin(windows, classes):
    """The small network."""
    sizes = dict(img_size=IMAGE, patch_size=PATCH, embed_dim=WIDTH, depths=DEPTHS, num_heads=HEADS)
    return SwinTransformer(window_size=windows, num_classes=classes, drop_path_rate=0.0, **sizes).eval()


def published_name(name):
    """Microsoft's name, which is also TALL's, of timm's parameter: a merging belongs to the stage before it."""
    parts = name.split(".")
    if parts[0] == "layers" and parts[2] == "downsample":
        parts[1] = str(int(parts[1]) - 1)
    return ".".join(parts).replace("head.fc.", "head.")


def thumbnail(clips, size):
    """[b,3,size,size] of clips [b,t,3,h,w]: t frames of that size in ROWS rows, resized together."""
    frames = clips.flatten(0, 1)
    if frames.shape[-2:] != (size, size):
        frames = functional.interpolate(frames, size=size, mode="bilinear")
    columns = clips.shape[1] // ROWS
    grid = frames.unflatten(0, (-1, ROWS, columns)).permute(0, 3, 1, 4, 2, 5)  # b c row h column w
    return functional.interpolate(grid.flatten(4, 5).flatten(2, 3), size=size, mode="bilinear")


class Tall(nn.Module):
    """Swin with one more embedding for each quadrant of its input."""

    def __init__(self, network, width):
        super().__init__()
        self.swin = network
        self.frame_pos_embed = nn.Parameter(torch.empty(1, ROWS * ROWS, width))

    def tokens(self, clips):
        """Tokens [b,h,w,d] of clips [b,4,3,h,w]."""
        tokens = self.swin.patch_embed(thumbnail(clips, self.swin.patch_embed.img_size[0]))
        side = tokens.shape[1] // ROWS
        quadrants = self.frame_pos_embed.unflatten(1, (ROWS, ROWS))
        return tokens + quadrants.repeat_interleave(side, 1).repeat_interleave(side, 2)

    def forward(self, clips):
        features = self.swin.norm(self.swin.layers(self.tokens(clips))).mean(dim=(1, 2))
        return features, self.swin.head.fc(features)

    def published(self):
        """Every parameter under its published name, without the prefix."""
        found = {published_name(name): value for name, value in self.swin.named_parameters()}
        return found | {"frame_pos_embed": self.frame_pos_embed}

    def buffers_of_checkpoints(self):
        """What a checkpoint carries beside parameters: where each pair of a window looks up, and what a shift hides."""
        found = {}
        for i, stage in enumerate(self.swin.layers):
            for j, block in enumerate(stage.blocks):
                found[f"layers.{i}.blocks.{j}.attn.relative_position_index"] = block.attn.relative_position_index
                if block.attn_mask is not None:
                    found[f"layers.{i}.blocks.{j}.attn_mask"] = block.attn_mask
        return found


def randomise(named, generator):
    """Fills parameters so that nothing is trivially 0 or 1."""
    for name, value in named.items():
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith(("bias", "frame_pos_embed")):
            noise = 0.5 * noise
        elif value.dim() == 1:
            noise = 1.25 + 0.2 * noise
        elif not name.endswith("relative_position_bias_table"):
            noise = noise / value[0].numel() ** 0.5
        value.copy_(noise)


def pictures(count, size, generator):
    """Noise [count,3,size,size] over colours that change slowly, by which pictures and their quarters differ."""
    colours = torch.randn(count, 3, 3, 3, generator=generator)
    noise = torch.randn(count, 3, size, size, generator=generator)
    return functional.interpolate(colours, size=size, mode="bilinear") + noise / 2


def interpolated(table, window):
    """A relative-position table [n,heads] for another window: bilinear in the two distances, as TALL loads it."""
    before, after = int(len(table) ** 0.5), 2 * window - 1
    if before == after:
        return table
    grid = table.T.unflatten(1, (before, before))[None]
    return functional.interpolate(grid, size=after, mode="bilinear")[0].flatten(1).T


def check_that_all_counts(named, logits_of):
    """Every tensor at zero changes the logits by over fifty times what tests allow; returns the least change."""
    logits = logits_of()
    changes = {}
    for name, value in named.items():
        kept = value.clone()
        value.zero_()
        changes[name] = (logits_of() - logits).abs().max().item() / logits.abs().max().item()
        value.copy_(kept)
    least = min(changes, key=changes.get)
    assert changes[least] > 50 * 1e-4, (least, changes[least])
    return least, changes[least]


def check_windows(network):
    """The first two stages shift, and what a shift hides matters; the last two do not shift."""
    shifts = [[block.shift_size[0] for block in stage.blocks] for stage in network.swin.layers]
    assert shifts == [[0, 2], [0, 2], [0, 0], [0]], shifts
    return [block.attn_mask for stage in network.swin.layers[:2] for block in stage.blocks[1:]]


def plain(tensors):
    """Tensors as files hold them."""
    return {name: value.detach().clone().contiguous() for name, value in tensors.items()}


def make_swin(output, generator):
    """The classifier and its import into TALL's windows."""
    network = swin(PRETRAINED_WINDOWS, 3)
    named = dict(network.named_parameters())
    with torch.no_grad():
        randomise(named, generator)
    pixels = pictures(2, IMAGE, generator)
    labels = torch.tensor([2, 0])
    features = network.forward_head(network.forward_features(pixels), pre_logits=True)
    logits = network(pixels)
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    reference = {"pixel_values": pixels, "labels": labels, "features": features, "logits": logits, "loss": loss[None]}
    reference |= {f"gradient.{name}": named[name].grad for name in SWIN_GRADIENTS}
    with torch.no_grad():
        print("swin:", *check_that_all_counts(named, lambda: network(pixels)))
        larger = swin(WINDOWS, 3)
        tensors = dict(network.state_dict())
        for name in tensors:
            if name.endswith("relative_position_bias_table"):
                tensors[name] = interpolated(tensors[name], WINDOWS[int(name.split(".")[1])])
                reference[f"interpolated.{name}"] = tensors[name]
        larger.load_state_dict(tensors)
        reference["interpolated.features"] = larger.forward_head(larger.forward_features(pixels), pre_logits=True)
        reference["interpolated.logits"] = larger(pixels)
    save_file(plain(network.state_dict()), output / "swin_tiny.safetensors", {"format": "pt"})
    save_file(plain(reference), output / "swin_reference.safetensors")


def make_tall(output, generator):
    """TALL and its answers."""
    network = Tall(swin(WINDOWS, 2), WIDTH).eval()
    named = network.published()
    with torch.no_grad():
        randomise(named, generator)
    clips = pictures(2 * ROWS * ROWS, IMAGE, generator).unflatten(0, (2, -1))
    half = pictures(ROWS * ROWS, IMAGE // 2, generator)[None]
    labels = torch.tensor([0, 1])
    features, logits = network(clips)
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    reference = {"pixel_values": clips, "labels": labels, "features": features, "logits": logits, "loss": loss[None]}
    reference["smoothed_loss"] = functional.cross_entropy(logits, labels, label_smoothing=0.1)[None]
    reference |= {f"gradient.model.{name}": named[name].grad for name in TALL_GRADIENTS}
    with torch.no_grad():
        masks = {str(i): mask for i, mask in enumerate(check_windows(network))}
        print("tall:", *check_that_all_counts(named | masks, lambda: network(clips)[1]))
        reference |= {"thumbnail": thumbnail(clips[:1], IMAGE), "half.pixel_values": half}
        reference |= dict(zip(("half.features", "half.logits"), network(half)))
        repeated = clips[:, :1].expand(-1, ROWS * ROWS, -1, -1, -1)
        reference |= dict(zip(("repeated.features", "repeated.logits"), network(repeated)))
    tensors = {f"model.{name}": value for name, value in (named | network.buffers_of_checkpoints()).items()}
    save_file(plain(tensors), output / "tall_tiny.safetensors", {"format": "pt"})
    save_file(plain(reference), output / "tall_reference.safetensors")


def whole_network():
    """TALL-Swin at its true size."""
    sizes = dict(embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window_size=(14, 14, 14, 7))
    return Tall(SwinTransformer(num_classes=2, **sizes), 128)


def main():
    output = output_argument(__doc__).parse_args().output
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    make_swin(output, generator)
    make_tall(output, generator)
    print(f"whole: {sum(value.numel() for value in whole_network().parameters()):,} parameters")


if __name__ == "__main__":
    main()
