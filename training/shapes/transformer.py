"""The diffusion transformer of `shapes`: a FluxTransformer2DModel, by rectified flow on the autoencoder's latents.

It attends to the tokens of the T5 encoder and is modulated by the pooled vector of the CLIP encoder; both were
trained before (`text`) and stay as they are.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextModel, T5EncoderModel

from autointerp.progress import NullProgress, Progress
from autointerp.shapes.scenes import GRID, SIZE, Scene, render, sample_training_scene
from training.shapes.autoencoder import CHANNELS
from training.shapes.loop import Average, generator, warm_hold_fall
from training.shapes.text import WIDTH, CaptionTokens
from training.shapes.tokenizers import MAX_TOKENS

DEFAULTS = {
    "steps": 8,
    "guidance": 2.5,
    "size": SIZE,
    "max_sequence_length": MAX_TOKENS,
    "capture_steps": [7],
    "signal": "update",
    "expansion": 2,
    "k": 12,
    "passes": 30,
}
"""How the model is run unless told otherwise; written beside it as `autointerp.json`."""
CAPTION_DROP = 0.1
"""Share of captions replaced by the empty one, so that guidance has an unconditional half."""


def pool_scene(seed: int, index: int) -> Scene:
    """Scene `index` of the training pool."""
    return sample_training_scene(np.random.default_rng((seed, 21, index)))


def pool_latents(
    path: Path, vae: AutoencoderTiny, seed: int, count: int, progress: Progress | None = None
) -> torch.Tensor:
    """The pool's latents, float16 [count, channels, 24, 24], zero mean and unit variance; kept in `path`."""
    if path.exists():
        return load_file(path)["latents"]
    vae = vae.to(memory_format=torch.channels_last).eval()
    parts = []
    with (progress or NullProgress()).task("encoding scenes", count, unit="scene") as bar, torch.no_grad():
        for start in range(0, count, 64):
            indices = range(start, min(start + 64, count))
            stack = np.stack([render(pool_scene(seed, i)).image for i in indices])
            images = torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 127.5 - 1
            with torch.autocast("cpu", torch.bfloat16):
                latents = vae.encode(images.contiguous(memory_format=torch.channels_last)).latents.float()
            parts.append(((latents - vae.config.shift_factor) * vae.config.scaling_factor).half())
            bar.advance(len(indices))
    latents = torch.cat(parts).contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"latents": latents}, path)
    return latents


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Latents [n, c, 2h, 2w] as the transformer's tokens [n, h * w, 4c], 2x2 patches row by row."""
    n, c, height, width = latents.shape
    patches = latents.view(n, c, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(n, height // 2 * (width // 2), 4 * c)


def new_transformer() -> FluxTransformer2DModel:
    """An untrained transformer: two double and four single blocks, 192 wide."""
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * CHANNELS,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=48,
        num_attention_heads=4,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(8, 20, 20),
    )


def hidden_and_other(model: torch.nn.Module) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """A transformer's parameters: the hidden matrices of its blocks, which Muon trains, and all others."""
    hidden: list[torch.nn.Parameter] = []
    other: list[torch.nn.Parameter] = []
    for name, p in model.named_parameters():
        in_block = name.startswith(("transformer_blocks", "single_transformer_blocks"))
        (hidden if in_block and p.ndim == 2 and ".norm" not in name else other).append(p)
    return hidden, other


class TransformerTrainer:
    """Rectified flow on the pool's latents; hidden matrices by Muon, all else by AdamW, at these `rates`."""

    name = "transformer"

    def __init__(
        self,
        latents: torch.Tensor,
        vae: AutoencoderTiny,
        encoders: tuple[CLIPTextModel, T5EncoderModel],
        steps: int = 2800,
        batch: int = 32,
        seed: int = 0,
        rates: tuple[float, float] = (4e-3, 2e-3),
    ) -> None:
        torch.manual_seed(seed)
        self.steps, self.batch, self.seed = steps, batch, seed
        self.latents, self.vae = latents, vae
        self.clip, self.t5 = (encoder.eval().requires_grad_(False) for encoder in encoders)
        self.tokens = CaptionTokens()
        self.model = new_transformer()
        self.scenes = [pool_scene(seed, i) for i in range(len(latents))]
        hidden, other = hidden_and_other(self.model)
        self.muon = torch.optim.Muon(hidden, lr=rates[0], weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
        self.adam = torch.optim.AdamW(other, lr=rates[1], weight_decay=0.01, betas=(0.9, 0.98))
        self.average = Average(self.model, 0.9985)
        self.parts = {"model": self.model, "muon": self.muon, "adam": self.adam, "average": self.average}
        self.image_ids = FluxPipeline._prepare_latent_image_ids(1, GRID, GRID, torch.device("cpu"), torch.float32)
        self.text_ids = torch.zeros(MAX_TOKENS, 3)
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
        self.model.compile_repeated_blocks(dynamic=False)

    def _captions(self, indices: np.ndarray, rng: np.random.Generator) -> list[str]:
        return ["" if rng.random() < CAPTION_DROP else self.scenes[i].spoken(rng) for i in indices]

    def step(self, index: int) -> str:
        """See `Training`."""
        for optimizer in (self.muon, self.adam):
            warm_hold_fall(optimizer, index, self.steps, 150)
        rng = np.random.default_rng((self.seed, 22, index))
        indices = rng.integers(0, len(self.latents), self.batch)
        captions = self._captions(indices, rng)
        draw = generator(self.seed, index)
        clean = pack(self.latents[torch.from_numpy(indices)].float())
        noise = torch.randn(clean.shape, generator=draw)
        # One normal quantile a stratum: every batch covers all noise levels. The mean above 0 favours the noisy
        # half, where what is where is decided.
        strata = (torch.arange(self.batch) + torch.rand(self.batch, generator=draw)) / self.batch
        sigma = torch.sigmoid(0.25 + 1.1 * torch.special.ndtri(strata.clamp(1e-4, 1 - 1e-4)))
        noisy = torch.lerp(clean, noise, sigma.view(-1, 1, 1))
        clip_ids, t5_ids = self.tokens(captions)
        with torch.no_grad():
            pooled, tokens = self.clip(clip_ids).pooler_output, self.t5(t5_ids).last_hidden_state
        # On a processor the fused attention kernel's backward takes three times as long as plain products.
        with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", torch.bfloat16):
            velocity = self.model(
                hidden_states=noisy,
                timestep=sigma,
                pooled_projections=pooled,
                encoder_hidden_states=tokens,
                txt_ids=self.text_ids,
                img_ids=self.image_ids,
                return_dict=False,
            )[0]
        loss = (velocity.float() - (noise - clean)).square().mean()
        self.muon.zero_grad()
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.muon.step()
        self.adam.step()
        self.average.update()
        return f"loss {float(loss.detach()):.4f}"

    def save(self, folder: Path) -> None:
        """Write the whole pipeline, averaged weights, half precision, as `DiffusionPipeline` loads it."""
        self.average.swap()
        pipeline = FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=False),
            vae=self.vae,
            text_encoder=self.clip,
            tokenizer=self.tokens.clip,
            text_encoder_2=self.t5,
            tokenizer_2=self.tokens.t5,
            transformer=self.model,
        )
        pipeline.to(torch.float16).save_pretrained(folder)
        (folder / "autointerp.json").write_text(json.dumps(DEFAULTS, indent=2) + "\n")
        for path in folder.rglob("config.json"):
            # Where a part was loaded from while training says nothing about the part.
            config = json.loads(path.read_text())
            if config.pop("_name_or_path", None) is not None:
                path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        pipeline.to(torch.float32)
        self.average.swap()
