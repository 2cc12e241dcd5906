/**
 * Detectors of others that `Detector.load` can load, once they are fetched: the detectors of `configs/models.toml` whose files
 * a page can read. It is JSON, and a test of `xtask` compares it with that table.
 *
 * @type {import('./unmask.d.ts').Known[]}
 */
export const known = [
  {
    "name": "gend-clip-l-14",
    "url": "https://huggingface.co/yermandy/GenD_CLIP_L_14/resolve/891ce014a0308386c4d7d25b3dcf436a22db5504/model.safetensors",
    "config": "https://huggingface.co/yermandy/GenD_CLIP_L_14/resolve/891ce014a0308386c4d7d25b3dcf436a22db5504/config.json",
    "format": "gend",
    "about": "GenD on CLIP ViT-L/14, a deepfake detector trained on FaceForensics++ (Yermakov et al., WACV 2026)",
    "licence": "MIT (the hub's page)",
    "bytes": 1215928160,
    "sha256": "d76f0bdfd74a29fe1b1c1b84a80ac92486993e426878e8c7a3944281fbb96833"
  },
  {
    "name": "gend-pe-l",
    "url": "https://huggingface.co/yermandy/GenD_PE_L/resolve/main/model.safetensors",
    "config": null,
    "format": "gend-pe",
    "about": "GenD on the Perception Encoder L/14, a deepfake detector (Yermakov et al., WACV 2026)",
    "licence": "MIT (the hub's page)",
    "bytes": null,
    "sha256": null
  },
  {
    "name": "gend-dinov3-l",
    "url": "https://huggingface.co/yermandy/GenD_DINOv3_L/resolve/main/model.safetensors",
    "config": null,
    "format": "gend-dinov3",
    "about": "GenD on DINOv3 ViT-L/16, a deepfake detector (Yermakov et al., WACV 2026)",
    "licence": "MIT (the hub's page); the backbone also under Meta's DINOv3 licence",
    "bytes": null,
    "sha256": null
  },
  {
    "name": "commfor-vit-s-384",
    "url": "https://huggingface.co/OwensLab/commfor-model-384/resolve/6076002bf0d9dd37537f965ee2f06f826c333b61/model.safetensors",
    "config": null,
    "format": "commfor",
    "about": "CommunityForensics ViT-S/16 at 384 pixels, a detector of wholly generated images (Park & Owens, CVPR 2025)",
    "licence": "MIT (the hub's page)",
    "bytes": 87262324,
    "sha256": "b89f36275f3bf5e2b040eee36597a8f19db051bff9a473a9cf7b2466284fb387"
  }
];
