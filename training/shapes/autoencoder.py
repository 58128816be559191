"""The autoencoder of `shapes`: a diffusers `AutoencoderTiny` that makes 24x24x6 latents of 96x96 pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny

from autointerp.shapes.scenes import SIZE, render, sample_training_scene
from training.shapes.loop import Average, generator, warm_cosine

CHANNELS = 6
WINDOW = 64


def new_autoencoder() -> AutoencoderTiny:
    """An untrained autoencoder: 4x down, 32 channels wide."""
    return AutoencoderTiny(
        encoder_block_out_channels=(32, 32, 32),
        decoder_block_out_channels=(32, 32, 32),
        num_encoder_blocks=(1, 2, 3),
        num_decoder_blocks=(4, 3, 1),
        latent_channels=CHANNELS,
        scaling_factor=1.0,
        shift_factor=0.0,
    )


def pictures(rng: np.random.Generator, count: int) -> torch.Tensor:
    """Fresh training renders, float32 [count, 3, 96, 96] in [-1, 1]."""
    stack = np.stack([render(sample_training_scene(rng)).image for _ in range(count)])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 127.5 - 1


class AutoencoderTrainer:
    """Squared and absolute error of the reconstruction of 64x64 windows, with a little noise on the latents.

    The network is convolutional and sees no further than a window, so windows teach it as much as whole pictures.
    """

    name = "autoencoder"

    def __init__(self, steps: int = 2000, batch: int = 16, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.steps, self.batch, self.seed = steps, batch, seed
        self.model = new_autoencoder().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-3, weight_decay=0.0, betas=(0.9, 0.99))
        self.average = Average(self.model, 0.998)
        self.parts = {"model": self.model, "optimizer": self.optimizer, "average": self.average}
        self._encode, self._decode = torch.compile(self.model.encoder), torch.compile(self.model.decoder)

    def step(self, index: int) -> str:
        """See `Training`."""
        warm_cosine(self.optimizer, index, self.steps, 100, floor=0.01)
        rng = np.random.default_rng((self.seed, 11, index))
        top, left = rng.integers(0, SIZE - WINDOW + 1, 2)
        images = pictures(rng, self.batch)[:, :, top : top + WINDOW, left : left + WINDOW]
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            latents = self._encode(images).float()
            shaken = latents + 0.03 * torch.randn(latents.shape, generator=generator(self.seed, index))
            again = self._decode(shaken.contiguous(memory_format=torch.channels_last)).float()
        error = again - images
        # Latents near unit variance keep clear of the decoder's soft clamp at 3.
        spread = (latents.var(dim=(0, 2, 3)) - 1).square().mean() + latents.mean(dim=(0, 2, 3)).square().mean()
        loss = error.square().mean() + 0.1 * error.abs().mean() + 0.005 * spread
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update()
        return f"{10 * torch.log10(4 / error.detach().square().mean()):.2f} dB"

    def save(self, folder: Path) -> None:
        """Write the averaged weights, with the scale and shift that make latents zero mean and unit variance."""
        self.average.swap()
        images = pictures(np.random.default_rng((self.seed, 12)), 256)
        with torch.no_grad():
            latents = torch.cat([self.model.encode(part).latents for part in images.split(32)])
        self.model.register_to_config(scaling_factor=float(1 / latents.std()), shift_factor=float(latents.mean()))
        self.model.half().save_pretrained(folder)
        self.model.float()
        self.average.swap()


@torch.no_grad()
def reconstruction_db(model: AutoencoderTiny, images: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of reconstructed pictures [n, 3, 96, 96] in [-1, 1], over all pixels."""
    errors = [
        F.mse_loss(model.decode(model.encode(part).latents).sample.clamp(-1, 1), part, reduction="sum")
        for part in images.split(32)
    ]
    return float(10 * torch.log10(4 * images.numel() / torch.stack(errors).sum()))
