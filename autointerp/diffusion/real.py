"""Running a model on real pictures: encoded by its autoencoder, noised to the wanted steps, and read there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from autointerp.diffusion.generation import GenerationSettings, ImageJob, float32_steps, run_pipeline
from autointerp.diffusion.inversion import invert
from autointerp.diffusion.noising import denoising_at, noised, picture_share
from autointerp.diffusion.pictures import load_picture
from autointerp.diffusion.sizes import sides
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.loading import Model

LEAST_SHARE = 0.01
"""Share of the variance that must be the picture's: below it, activations would be those of the noise."""


def read_pictures(
    model: Model,
    batch: Sequence[ImageJob],
    settings: GenerationSettings,
    steps: Collection[int],
    reading: AbstractContextManager[Any],
    decode: bool = True,
) -> list[Image.Image]:
    """Run the denoiser once at each wanted step on the noised pictures of a batch of jobs.

    Noise is that which the pipeline draws with each job's own generator. Where pictures are inverted, what stands in
    the place of noised latents is the way that leads to them, see `invert`.

    Args:
        model: The model.
        batch: Jobs that have a picture, all of one size and kind.
        settings: How an image is generated; its size is theirs.
        steps: 0-based steps at which the denoiser runs; none does nothing but load the pictures.
        reading: Entered while it does, e.g. `capture`.
        decode: False gives no pictures back.

    Returns:
        The pictures as they were encoded, RGB, of the settings' size.

    Raises:
        AutointerpError: A picture cannot be read, a step has nothing of it left, or it cannot be inverted.
    """
    pictures = [load_picture(job, sides(settings.size)) for job in batch]
    if steps:
        clean = encode_pictures(model, pictures)
        arguments, branches = model.family.call(model.configs, settings.guidance, len(batch))
        if any(job.picture and job.picture.inverted for job in batch):
            way = invert(model, batch, settings, clean, min(steps))

            def at(run: int, noise: torch.Tensor) -> torch.Tensor:
                return way.given[run]
        else:

            def at(run: int, noise: torch.Tensor) -> torch.Tensor:
                if (share := picture_share(model, run)) < LEAST_SHARE:
                    raise AutointerpError(
                        f"at step {calls.step} a real picture is {1 - share:.1%} noise",
                        "fit a dictionary of later steps (capture_steps), run more steps, or set invert = true",
                    )
                check_shape(model, clean, noise)
                return noised(model, run, clean, noise)

        with ExitStack() as stack:
            calls = stack.enter_context(denoising_at(model, len(batch), settings.steps, branches, steps, at))
            stack.enter_context(float32_steps(model))
            stack.enter_context(reading)
            run_pipeline(model, batch, settings, arguments, stop_after=max(steps))
    return pictures if decode else []


def check_shape(model: Model, clean: torch.Tensor, wanted: torch.Tensor) -> None:
    """Raise `AutointerpError` where encoded pictures are not of the shape that the denoiser takes."""
    if clean.shape != wanted.shape:
        raise AutointerpError(
            f"{type(model.pipeline).__name__} denoises latents of shape {tuple(wanted.shape)}, and its pictures are "
            f"encoded to {tuple(clean.shape)}",
            "its entry would have to be added, see docs/howto.md",
        )


def encode_pictures(model: Model, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Latents of pictures of one size, as the denoiser gets them without noise: float32, on the model's device.

    The mean of what the autoencoder says, shifted and scaled as its configuration says, and packed where the family
    packs.
    """
    vae = model.pipeline.vae
    pixels = torch.from_numpy(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]))
    given = pixels.permute(0, 3, 1, 2).float().to(model.device) / 127.5 - 1
    kept = vae.dtype
    # Some overflow in float16, which their configuration says.
    upcast = kept == torch.float16 and vae.config.get("force_upcast")
    if upcast:
        vae.to(torch.float32)
    try:
        with torch.inference_mode():
            latents = torch.cat([_latents(vae.encode(one[None].to(vae.dtype))) for one in given]).float()
    finally:
        if upcast:
            vae.to(kept)
    config = vae.config
    if config.get("latents_mean") is not None and config.get("latents_std") is not None:
        mean, std = (torch.tensor(config[key]).to(latents).view(1, -1, 1, 1) for key in ("latents_mean", "latents_std"))
        latents = (latents - mean) / std
    else:
        latents = latents - (config.get("shift_factor") or 0.0)
    packed: torch.Tensor = model.family.pack_latents(latents * config.get("scaling_factor", 1.0))
    return packed


def _latents(encoded: Any) -> torch.Tensor:
    """What an autoencoder of any kind says a picture's latents are."""
    if hasattr(encoded, "latent_dist"):
        mode: torch.Tensor = encoded.latent_dist.mode()
        return mode
    found: torch.Tensor = encoded.latents if hasattr(encoded, "latents") else encoded.latent
    return found
