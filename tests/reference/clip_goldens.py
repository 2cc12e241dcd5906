"""Makes clip_tiny/ and tiny checkpoints of foreign formats: a CLIP tower with heads, and what transformers answers.

The tower is small and random, but nothing in it is trivially 0 or 1, and its activations are of order one. The same
weights are written in every form an import may meet.
"""

import torch
from safetensors.torch import save_file
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel

from common import output_argument

SEED = 20261
TOWER = dict(image_size=32, patch_size=8, hidden_size=32, num_hidden_layers=2)
TOWER |= dict(num_attention_heads=2, intermediate_size=64)
TEXT = dict(vocab_size=4, hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1)
TEXT |= dict(max_position_embeddings=4, projection_dim=8, bos_token_id=0, eos_token_id=1, pad_token_id=2)
HIDDEN = 512
PREFIX = "vision_model."


def randomise(module, generator):
    """Fills all parameters: matrices keep the size of their input, LayerNorm weights lie around 1, others around 0."""
    for name, parameter in module.named_parameters():
        if parameter.dim() == 0:  # the logit scale of a whole CLIPModel
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            parameter.data = 1 + 0.2 * noise
        elif name.endswith("bias"):
            parameter.data = 0.2 * noise
        elif "embedding" in name and "patch" not in name:
            parameter.data = 0.5 * noise
        else:
            parameter.data = noise / parameter[0].numel() ** 0.5


def random_head(kind, generator, width=TOWER["hidden_size"]):
    """The tensors of a head, `1mlp` or `2mlp`, by their checkpoint names; logits of unit features are of order one."""
    layers = {"1mlp": {"linear": (2, width)}, "2mlp": {"mlp.0": (HIDDEN, width), "mlp.2": (2, HIDDEN)}}[kind]
    tensors = {}
    for name, shape in layers.items():
        scale = shape[1] ** -0.5 if name == "mlp.2" else 0.7
        tensors[f"model.{name}.weight"] = scale * torch.randn(shape, generator=generator)
        tensors[f"model.{name}.bias"] = 0.3 * torch.randn(shape[0], generator=generator)
    return tensors


def answers(pooled, head):
    """Unit features, logits and P(fake) of a head on pooled outputs."""
    features = functional.normalize(pooled, dim=-1)
    if "model.linear.weight" in head:
        logits = functional.linear(features, head["model.linear.weight"], head["model.linear.bias"])
    else:
        hidden = functional.linear(features, head["model.mlp.0.weight"], head["model.mlp.0.bias"]).relu()
        logits = functional.linear(hidden, head["model.mlp.2.weight"], head["model.mlp.2.bias"])
    return {"features": features, "logits": logits, "score": logits.softmax(-1)[:, 1].contiguous()}


def published_names(tower):
    """A tower's tensors as published checkpoints name them. transformers 5 leaves the prefix out of a lone tower."""
    return {PREFIX + name: value for name, value in tower.state_dict().items()}


def save_tiny(folder, tower, pixels, heads, generator):
    """Writes clip_tiny/: the tower in four forms, the heads, and reference.safetensors."""
    tower.save_pretrained(folder)
    positions = {PREFIX + "embeddings.position_ids": torch.arange(tower.embeddings.num_positions)[None]}
    save_file(published_names(tower) | positions, folder / "model_v4.safetensors", {"format": "pt"})
    reference = {"pixel_values": pixels, "pooler_output": tower(pixels).pooler_output}
    reference["last_hidden_state"] = tower(pixels).last_hidden_state
    for name, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
        rounded = {key: value.to(dtype) for key, value in tower.state_dict().items()}
        save_file(rounded, folder / f"model_{name}.safetensors", {"format": "pt"})
        rounded_tower = CLIPVisionModel(tower.config).eval()
        rounded_tower.load_state_dict({key: value.float() for key, value in rounded.items()})
        reference[f"pooler_output_{name}"] = rounded_tower(pixels).pooler_output
    for name, head in heads.items():
        save_file(head, folder / f"{name}.safetensors")
        reference |= {f"{name}.{key}": value for key, value in answers(reference["pooler_output"], head).items()}
    reference["features"] = reference.pop("head1.features")
    del reference["head2.features"]
    save_file(reference, folder / "reference.safetensors")
    save_whole(folder / "whole", tower, generator)


def save_whole(folder, tower, generator):
    """The same tower inside a whole CLIPModel, its text model as small as can be."""
    whole = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=tower.config.to_dict(), projection_dim=8))
    randomise(whole, generator)
    whole.vision_model.load_state_dict(tower.state_dict())
    whole.save_pretrained(folder)


def thesis_names(tower, tuned, head):
    """A thesis checkpoint in PEFT's names: every LayerNorm as pretrained (`base_layer`) and as tuned."""
    tensors = {}
    for name, value in published_names(tower).items():
        name = "feature_extractor.base_model.model." + name
        if "norm" in name:
            stem, leaf = name.rsplit(".", 1)
            tensors[f"{stem}.base_layer.{leaf}"] = value
            tensors[f"{stem}.ln_tuning_layers.default.{leaf}"] = tuned.get_parameter(name.split(PREFIX)[1]).data
        else:
            tensors[name] = value
    return tensors | head


def save_imports(output, tower, pixels, heads, generator):
    """Writes the tiny GenD and thesis checkpoints, and imports_reference.safetensors with what they answer."""
    reference = {}
    gend = {"feature_extractor." + name: value for name, value in published_names(tower).items()}
    gend["feature_extractor.visual_projection.weight"] = torch.randn(8, TOWER["hidden_size"], generator=generator)
    save_file(gend | heads["head1"], output / "gend_tiny.safetensors", {"format": "pt"})
    reference["gend_tiny"] = answers(tower(pixels).pooler_output, heads["head1"])
    tuned = CLIPVisionModel(tower.config).eval()
    tuned.load_state_dict(tower.state_dict())
    for name, parameter in tuned.named_parameters():
        if "norm" in name:
            parameter.data = parameter.data + 0.3 * torch.randn(parameter.shape, generator=generator)
    for kind, head in (("1mlp", heads["head1"]), ("2mlp", heads["head2"])):
        torch.save(thesis_names(tower, tuned, head), output / f"thesis_tiny_{kind}.pth")
        reference[f"thesis_tiny_{kind}"] = answers(tuned(pixels).pooler_output, head)
    flat = {f"{file}.{key}": value for file, values in reference.items() for key, value in values.items()}
    save_file(flat, output / "imports_reference.safetensors")


@torch.no_grad()
def main():
    output = output_argument(__doc__).parse_args().output
    generator = torch.Generator().manual_seed(SEED)
    tower = CLIPVisionModel(CLIPVisionConfig(**TOWER)).eval()
    randomise(tower, generator)
    pixels = torch.randn(3, 3, TOWER["image_size"], TOWER["image_size"], generator=generator)
    heads = {"head1": random_head("1mlp", generator), "head2": random_head("2mlp", generator)}
    (output / "clip_tiny").mkdir(parents=True, exist_ok=True)
    save_tiny(output / "clip_tiny", tower, pixels, heads, generator)
    save_imports(output, tower, pixels, heads, generator)


if __name__ == "__main__":
    main()
