"""Makes dicome_tiny.safetensors and dicome_reference.safetensors: a small DiCoME.

The tower is transformers' CLIP with LoRA of rank 8 and alpha 16 on queries and values, by peft; what stands on it is
written here after kxl0825/DiCoME (src/model/core_model.py, src/modules). The checkpoint is the `state_dict` of a
Lightning file with the names of the published one, which are older than the code: OLD_NAMES has today's beginning of
each. The reference holds `pixel_values` [3,3,24,24], `labels` (i64), `pooled`, `semantic` (f_s, again as `features`),
`manifold` (f_c), `artifact` (f_a), the evidence `semantic_evidence`, `artifact_evidence` and `evidence` (fused),
`logits`, the logarithm of the fused Dirichlet's alpha, so that softmax gives alpha / S; `score`, P(fake);
`uncertainty`, K / S; the mean cross-entropy `loss` of the logits, and `gradient.NAME` of GRADIENTS. All as at
inference: the VAE's mean, no dropout.
"""

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from common import output_argument
from tiny_transformers import Weights, answers, attend, check_conventions, check_parameters, count, randomise, save

SEED = 20270
RANK, ALPHA, CLASSES = 8, 16, 2
VAE_HIDDEN, HEAD_HIDDEN = 32, 64  # constants of the published code, whatever the other widths
TINY = dict(image_size=24, patch_size=8, hidden_size=24, num_hidden_layers=2, num_attention_heads=2)
TINY |= dict(intermediate_size=40)
WHOLE = dict(image_size=224, patch_size=14, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16)
WHOLE |= dict(intermediate_size=4096)
WIDTH, LATENT = 12, 6
OLD_NAMES = {"semantic_manifold_projector": "beta_vae", "semantic_head": "evidential_head_1"}
OLD_NAMES |= {"artifact_head": "evidential_head_2", "semantic_norm": "view1_norm", "artifact_norm": "view2_norm"}
TOWER = "model.primary_encoder.vision_model.base_model.model."
QUERY = TOWER + "encoder.layers.0.self_attn.q_proj."
GRADIENTS = [TOWER + "embeddings.patch_embedding.weight", QUERY + "base_layer.weight", QUERY + "lora_A.default.weight"]
GRADIENTS += [QUERY + "lora_B.default.weight", TOWER + "encoder.layers.1.layer_norm2.weight"]
GRADIENTS += ["model.primary_encoder.projection.weight", "model.beta_vae.fc_mu.weight", "model.view2_norm.weight"]
GRADIENTS += ["model.evidential_head_1.fc1.weight", "model.evidential_head_2.fc2.bias"]
WRONG = dict(eps=1e-6, scale=1.0, latent="log_var", purified=False, fused="sum", gelu="exact")


class Vae(nn.Module):
    """The semantic manifold projector. At inference the latent is its mean, and `fc_log_var` is not used."""

    def __init__(self, width, latent):
        super().__init__()
        self.encoder_mlp = nn.Sequential(nn.Linear(width, VAE_HIDDEN), nn.ReLU())
        self.fc_mu = nn.Linear(VAE_HIDDEN, latent)
        self.fc_log_var = nn.Linear(VAE_HIDDEN, latent)
        self.decoder_mlp = nn.Sequential(nn.Linear(latent, VAE_HIDDEN), nn.ReLU(), nn.Linear(VAE_HIDDEN, width))

    def forward(self, semantic):
        """[n,width] to its place on the manifold, [n,width]."""
        return self.decoder_mlp(self.fc_mu(self.encoder_mlp(semantic)))


class EvidentialHead(nn.Module):
    """Evidence for each class, not negative."""

    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, HEAD_HIDDEN)
        self.fc2 = nn.Linear(HEAD_HIDDEN, CLASSES)

    def forward(self, view):
        """[n,width] to [n,classes]."""
        return functional.softplus(self.fc2(functional.relu(self.fc1(view))))


class Encoder(nn.Module):
    """CLIP with LoRA, and the projection of its pooled output."""

    def __init__(self, sizes, width):
        super().__init__()
        tower = CLIPVisionModel(CLIPVisionConfig(attn_implementation="eager", **sizes))
        lora = dict(target_modules=["q_proj", "v_proj"], r=RANK, lora_alpha=ALPHA, lora_dropout=0.1, bias="none")
        self.vision_model = get_peft_model(tower, LoraConfig(task_type="FEATURE_EXTRACTION", **lora))
        self.projection = nn.Linear(sizes["hidden_size"], width)

    def forward(self, pixels):
        """[n,3,h,w] to the pooled output [n,d] and the semantic view [n,width]."""
        pooled = self.vision_model.base_model(pixel_values=pixels).pooler_output
        return pooled, self.projection(pooled)


class Fusion(nn.Module):
    """The detector, by today's names."""

    def __init__(self, sizes, width, latent):
        super().__init__()
        self.primary_encoder = Encoder(sizes, width)
        self.semantic_manifold_projector = Vae(width, latent)
        self.semantic_head, self.artifact_head = EvidentialHead(width), EvidentialHead(width)
        self.semantic_norm, self.artifact_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, pixels):
        """Everything that the reference holds."""
        pooled, semantic = self.primary_encoder(pixels)
        manifold = self.semantic_manifold_projector(semantic)
        artifact = purify(semantic, manifold)
        evidence = [self.semantic_head(self.semantic_norm(semantic)), self.artifact_head(self.artifact_norm(artifact))]
        alpha = dempster_shafer(*evidence)
        views = {"pooled": pooled, "semantic": semantic, "manifold": manifold, "artifact": artifact}
        views |= {"semantic_evidence": evidence[0], "artifact_evidence": evidence[1], "evidence": alpha - 1}
        strength = alpha.sum(1)
        score = alpha[:, 1] / strength
        answer = {"features": semantic, "logits": alpha.log(), "score": score, "uncertainty": CLASSES / strength}
        return views | answer


def purify(semantic, manifold):
    """The residual without its part along the semantic view."""
    residual = semantic - manifold
    along = (residual * semantic).sum(1, keepdim=True) / (semantic.pow(2).sum(1, keepdim=True) + 1e-8)
    return residual - along * semantic


def dempster_shafer(first, second):
    """Alpha [n,k] of two views' evidence [n,k], by belief, uncertainty and conflict, as published."""
    strengths = [evidence.sum(1, keepdim=True) + CLASSES for evidence in (first, second)]
    b1, b2 = first / strengths[0], second / strengths[1]
    u1, u2 = (CLASSES / strength for strength in strengths)
    conflict = b1.sum(1, keepdim=True) * b2.sum(1, keepdim=True) - (b1 * b2).sum(1, keepdim=True)
    belief = (b1 * b2 + b1 * u2 + b2 * u1) / (1 - conflict)
    uncertainty = u1 * u2 / (1 - conflict)
    return belief * CLASSES / uncertainty + 1


def old(name):
    """The published file's name of a parameter."""
    first, rest = name.split(".", 1)
    return f"model.{OLD_NAMES.get(first, first)}.{rest}"


def tower_written_out(tensors, pixels, eps, scale, gelu):
    """CLIP's pooled output, each LoRA merged into its weight."""
    merged = {}
    for name, tensor in tensors.items():
        if name.endswith("base_layer.weight"):
            a, b = (tensors[name.replace("base_layer", f"lora_{side}.default")] for side in "AB")
            tensor = tensor + scale * b @ a
        merged[name.replace(".base_layer", "")] = tensor
    weights = Weights(merged, TOWER)
    x = weights.patches("embeddings.patch_embedding", pixels)
    cls = weights["embeddings.class_embedding"].expand(len(x), 1, -1)
    x = torch.cat([cls, x], dim=1) + weights["embeddings.position_embedding.weight"]
    x = weights.norm("pre_layrnorm", x, eps)
    activation = functional.gelu if gelu == "exact" else lambda x: x * (1.702 * x).sigmoid()
    for index in range(TINY["num_hidden_layers"]):
        layer = weights.below(f"encoder.layers.{index}")
        hidden = layer.norm("layer_norm1", x, eps)
        q, k, v = (layer.linear(f"self_attn.{name}_proj", hidden) for name in "qkv")
        x = x + layer.linear("self_attn.out_proj", attend(q, k, v, TINY["num_attention_heads"]))
        x = x + layer.linear("mlp.fc2", activation(layer.linear("mlp.fc1", layer.norm("layer_norm2", x, eps))))
    return weights.norm("post_layernorm", x[:, 0], eps)


def written_out(tensors, pixels, eps=1e-5, scale=ALPHA / RANK, latent="mu", purified=True, fused="shorter",
                gelu="quick"):
    """Logits [n,2] of the published tensors, in plain PyTorch, with Dempster-Shafer's rule in its shorter form."""
    weights = Weights(tensors, "model.")
    semantic = weights.linear("primary_encoder.projection", tower_written_out(tensors, pixels, eps, scale, gelu))
    hidden = weights.linear(f"beta_vae.fc_{latent}", weights.linear("beta_vae.encoder_mlp.0", semantic).relu())
    manifold = weights.linear("beta_vae.decoder_mlp.2", weights.linear("beta_vae.decoder_mlp.0", hidden).relu())
    artifact = purify(semantic, manifold) if purified else semantic - manifold
    evidence = []
    for index, view in ((1, semantic), (2, artifact)):
        head = weights.below(f"evidential_head_{index}")
        hidden = head.linear("fc1", weights.norm(f"view{index}_norm", view, eps)).relu()
        evidence.append(functional.softplus(head.linear("fc2", hidden)))
    together = evidence[0] * evidence[1] / CLASSES if fused == "shorter" else 0.0
    return (1 + evidence[0] + evidence[1] + together).log()


def main():
    output = output_argument(__doc__).parse_args().output
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    model = Fusion(TINY, WIDTH, LATENT).eval().requires_grad_(True)
    randomise(model, generator)
    pixels = torch.randn(3, 3, TINY["image_size"], TINY["image_size"], generator=generator)
    found = model(pixels)
    reference = answers(model, {"pixel_values": pixels} | found, GRADIENTS, old)
    tensors = {old(name): value for name, value in model.state_dict().items()}
    unused = lambda name: "fc_log_var" in name or name.endswith("k_proj.bias")
    check_parameters(model, lambda: model(pixels)["logits"], silent=unused)
    check_conventions(found["logits"], lambda **change: written_out(tensors, pixels, **change), WRONG)
    torch.testing.assert_close(found["logits"].softmax(1)[:, 1], found["score"])
    for name in ("semantic_evidence", "artifact_evidence", "evidence", "score", "uncertainty"):
        print(f"  {name}: {found[name].detach().flatten().tolist()}")
    save(output, "dicome", tensors, reference)
    with torch.device("meta"):
        whole = Fusion(WHOLE, 64, 32)
    trained = lambda name: "vision_model" not in name or "lora_" in name
    print(f"L/14: {count(whole):,} parameters, {count(whole, trained):,} of them trained")


if __name__ == "__main__":
    main()
