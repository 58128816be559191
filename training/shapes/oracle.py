"""Training of the oracle: cross-entropy per cell and attribute on renders and on their reconstructions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file

from autointerp.progress import NullProgress, Progress
from autointerp.shapes.oracle import HEADS, Oracle, OracleNet, split_heads, to_tensor
from autointerp.shapes.scenes import Render, Scene, render, sample_training_scene
from training.shapes.loop import Average, generator, warm_cosine

LATENT_NOISE = 0.25
"""Most noise on a reconstruction's latents, in their own deviations: generated latents are never quite clean."""


def reconstructed_scene(seed: int, index: int) -> Scene:
    """Scene `index` of the pool of reconstructions."""
    return sample_training_scene(np.random.default_rng((seed, 31, index)))


def reconstructions(
    path: Path, vae: AutoencoderTiny, seed: int, count: int, progress: Progress | None = None
) -> np.ndarray:
    """Pool scenes as the autoencoder paints them from slightly noisy latents, uint8 [count, 96, 96, 3].

    Kept in `path`: they cost ten renders each.
    """
    if path.exists():
        return load_file(path)["pictures"].numpy()
    vae = vae.to(memory_format=torch.channels_last).eval()
    encode, decode = torch.compile(vae.encoder), torch.compile(vae.decoder)
    parts = []
    with (progress or NullProgress()).task("reconstructing scenes", count, unit="scene") as bar, torch.no_grad():
        for start in range(0, count, 32):
            indices = range(start, min(start + 32, count))
            images = to_tensor(np.stack([render(reconstructed_scene(seed, i)).image for i in indices]))
            draw = generator(seed, start)
            with torch.autocast("cpu", torch.bfloat16):
                latents = encode(images).float()
                amount = LATENT_NOISE * torch.rand(len(indices), 1, 1, 1, generator=draw).square()
                latents = latents + amount * torch.randn(latents.shape, generator=draw)
                again = decode(latents.contiguous(memory_format=torch.channels_last)).float()
            parts.append(((again.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous())
            bar.advance(len(indices))
    pictures = torch.cat(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"pictures": pictures}, path)
    return pictures.numpy()


def stack_cells(renders: list[Render]) -> dict[str, np.ndarray]:
    """The cells of several renders: attribute -> int64 [n, 12, 12]."""
    cells = [r.cells() for r in renders]
    return {name: np.stack([c[name] for c in cells]) for name in HEADS}


class OracleTrainer:
    """Half of a batch fresh renders, half reconstructions; both with a little noise and another brightness."""

    name = "oracle"

    def __init__(self, pool: np.ndarray, steps: int = 1800, batch: int = 48, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.pool, self.steps, self.batch, self.seed = pool, steps, batch, seed
        self.model: OracleNet = OracleNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-3, weight_decay=0.01, betas=(0.9, 0.98))
        self.average = Average(self.model, 0.995)
        self.parts = {"model": self.model, "optimizer": self.optimizer, "average": self.average}
        self._forward = torch.compile(self.model)

    def _pictures(self, index: int) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
        rng = np.random.default_rng((self.seed, 32, index))
        fresh = [render(sample_training_scene(rng)) for _ in range(self.batch // 2)]
        chosen = rng.integers(0, len(self.pool), self.batch - len(fresh))
        truths = [render(reconstructed_scene(self.seed, i)) for i in chosen]
        images = to_tensor(np.concatenate([np.stack([r.image for r in fresh]), self.pool[chosen]]))
        draw = generator(self.seed, index)
        bright = 1 + 0.04 * torch.randn(len(images), 1, 1, 1, generator=draw)
        shift = 0.04 * torch.randn(len(images), 3, 1, 1, generator=draw)
        amount = 0.06 * torch.rand(len(images), 1, 1, 1, generator=draw)
        images = images * bright + shift + amount * torch.randn(images.shape, generator=draw)
        return images.clamp(-1, 1).contiguous(memory_format=torch.channels_last), stack_cells(fresh + truths)

    def step(self, index: int) -> str:
        """One batch, every cell and attribute."""
        warm_cosine(self.optimizer, index, self.steps, 100)
        images, cells = self._pictures(index)
        with torch.autocast("cpu", torch.bfloat16):
            logits = split_heads(self._forward(images))
        # `part` has a class for background; the others are not asked where they do not hold.
        losses = [
            F.cross_entropy(logits[name].float(), torch.from_numpy(cells[name] + (name == "part")), ignore_index=-1)
            for name in HEADS
        ]
        loss = torch.stack(losses).sum()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update()
        return f"loss {float(loss.detach()):.4f}"

    def save(self, folder: Path) -> None:
        """Write the averaged weights, half precision."""
        self.average.swap()
        Oracle(self.model).save(folder)
        self.model.train()
        self.average.swap()
