"""Makes peft/CASE/: low-rank adapters of the tiny transformers as PEFT saves them, and what they answer when merged.

Needs the goldens of clip_goldens.py, dinov3_goldens.py, pe_goldens.py and vit_goldens.py, whose tiny checkpoints are the
bases. Each folder has what `save_pretrained` writes (`adapter_model.safetensors`, `adapter_config.json`) and
`reference.safetensors`: `pixel_values` [2,3,h,w], `logits` [2,2] (real, fake) of the model that `merge_and_unload` makes,
and `base_logits` of the base alone with the head that the adapter was put on. Adapted and merged must agree.

- `clip`: every linear layer, rsLoRA, other ranks and alphas for some layers, a trained head (`classifier`, on unit features)
  and a trained LayerNorm; on `CLIPVisionModel` under the name that a detector of one's own may have for it.
- `dinov3`: queries and the perceptron of GenD's DINOv3.
- `pe`: the joint projections of GenD's Perception Encoder, and its patch embedding, a convolution.
- `vit`: CommunityForensics' joint projections, and its head of one logit.
"""

import json

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import CLIPVisionModel

import dinov3_goldens
import pe_goldens
import vit_goldens
from common import output_argument

SEED = 20290


class Detector(nn.Module):
    """A CLIP tower under a linear head on its unit features."""

    def __init__(self, tower, head):
        super().__init__()
        self.vision_model, self.classifier = tower, head

    def forward(self, pixels):
        return self.classifier(functional.normalize(self.vision_model(pixels).pooler_output, dim=-1))


def clip(folder):
    tower = CLIPVisionModel.from_pretrained(folder / "clip_tiny", attn_implementation="eager").float()
    stored = load_file(folder / "clip_tiny" / "head1.safetensors")
    head = nn.Linear(tower.config.hidden_size, 2)
    head.load_state_dict({"weight": stored["model.linear.weight"], "bias": stored["model.linear.bias"]})
    return Detector(tower, head).eval(), lambda model, pixels: model(pixels)


def dinov3(folder):
    model = dinov3_goldens.network(**dinov3_goldens.TINY)
    stored = load_file(folder / "dinov3_tiny.safetensors")
    model.load_state_dict({name: stored[dinov3_goldens.published(name)] for name in model.state_dict()})

    def logits(model, pixels):
        backbone = model.feature_extractor["backbone"]
        return model(backbone(pixels).last_hidden_state[:, 0])[1]
    return model, logits


def pe(folder):
    model = pe_goldens.network(**pe_goldens.TINY)
    model.load_state_dict(load_file(folder / "pe_tiny.safetensors"))
    return model, lambda model, pixels: model(model.feature_extractor["backbone"](pixels))[1]


def vit(folder):
    model = vit_goldens.community_forensics(num_heads=vit_goldens.HEADS["vit"], **vit_goldens.TINY)
    model.load_state_dict(load_file(folder / "vit_tiny.safetensors"))
    return model, lambda model, pixels: vit_goldens.real_and_fake(model["vit"](pixels))


LINEAR = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
CASES = {
    "clip": (clip, 32, dict(
        r=4, lora_alpha=6, use_rslora=True, target_modules=LINEAR, modules_to_save=["classifier", "post_layernorm"],
        rank_pattern={"q_proj": 2, "layers.1.mlp.fc1": 3}, alpha_pattern={"layers.0.self_attn.v_proj": 5, "fc2": 2})),
    "dinov3": (dinov3, 24, dict(r=3, lora_alpha=6, target_modules=["q_proj", "up_proj", "down_proj"])),
    "pe": (pe, 24, dict(r=2, lora_alpha=3, target_modules=["qkv", "attn_pool.kv", "patch_embed.proj"])),
    "vit": (vit, 24, dict(r=2, lora_alpha=2, target_modules=["qkv", "mlp.fc1"], modules_to_save=["head"])),
}


@torch.no_grad()
def fill(model, generator):
    """Trained values: A as PEFT begins, B and what is trained whole moved by much."""
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        if "lora_A" in name:
            parameter.copy_(noise * (3 * parameter[0].numel()) ** -0.5)
        elif "lora_B" in name:
            parameter.copy_(0.3 * noise)
        elif "modules_to_save" in name:
            parameter.add_(0.2 * noise)


@torch.no_grad()
def goldens(output, case, generator):
    """One folder, after all checks."""
    network, side, options = CASES[case]
    model, logits = network(output)
    pixels = torch.randn(2, 3, side, side, generator=generator)
    base = logits(model, pixels)
    adapted = get_peft_model(model, LoraConfig(**options)).eval()
    fill(adapted, generator)
    answers = logits(adapted.base_model.model, pixels)
    folder = output / "peft" / case
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config = {key: sorted(value) if isinstance(value, list) else value for key, value in config.items()}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    merged = logits(adapted.merge_and_unload(), pixels)
    error = ((merged - answers).abs().max() / answers.abs().max()).item()
    change = ((merged - base).abs().max() / base.abs().max()).item()
    print(f"{case}: merging moves the logits by {error:.1e}, the adapter by {change:.1e}")
    assert error < 1e-5 and change > 0.05
    save_file({"pixel_values": pixels, "logits": merged, "base_logits": base}, folder / "reference.safetensors")


def main():
    output = output_argument(__doc__).parse_args().output
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    for case in CASES:
        goldens(output, case, generator)


if __name__ == "__main__":
    main()
