"""Run a model on real pictures: encode them by its autoencoder, noise them to chosen steps, and read there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from autointerp.diffusion.finite import check_encoded
from autointerp.diffusion.inversion import invert
from autointerp.diffusion.noising import denoising_at, noised, picture_share
from autointerp.diffusion.running import float32_steps, run_pipeline
from autointerp.diffusion.sources.picture_files import load_picture
from autointerp.errors import AutointerpError
from autointerp.sizes import sides

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.model import Model
    from autointerp.diffusion.passes import Pass

LEAST_SHARE = 0.01
"""Least share of the variance that must be the picture's. Below it, activations would be those of the noise."""


_RGBA = 4
"""Channels of an autoencoder that is also given how opaque a picture is."""


def read_pictures(
    batch: Pass, steps: Collection[int], reading: AbstractContextManager[Any], decode: bool = True
) -> list[Image.Image]:
    """Run the denoiser once at each wanted step on the noised pictures of a batch.

    The noise is the one that the pipeline draws with each job's own generator. Where pictures are inverted, the path
    that leads to them replaces the noised latents (see `invert`).

    Args:
        batch: A pass whose jobs all have a picture.
        steps: 0-based steps at which the denoiser runs; with none, the pictures are only loaded.
        reading: Entered while the denoiser runs, e.g. `capturing`.
        decode: Whether to return the pictures.

    Returns:
        The pictures as they were encoded, RGB, of the settings' size.

    Raises:
        AutointerpError: A picture cannot be read, is all noise at a step, or cannot be inverted.
    """
    model = batch.model
    pictures = load_batch(batch)
    if steps:
        clean = encode_pictures(model, pictures)
        inverted = any(job.picture and job.picture.inverted for job in batch.jobs)
        path = invert(batch, clean, min(steps)) if inverted else None

        def at(run: int, noise: torch.Tensor) -> torch.Tensor:
            if path is not None:
                return path.given[run]
            if (share := picture_share(model, run)) < LEAST_SHARE:
                raise AutointerpError(
                    f"at step {calls.step} a real picture is {1 - share:.1%} noise",
                    "fit a dictionary of later steps (capture_steps), run more steps, or set invert = true",
                )
            check_shape(model, clean, noise)
            return noised(model, run, clean, noise)

        with ExitStack() as stack:
            calls = stack.enter_context(denoising_at(batch, steps, at))
            stack.enter_context(float32_steps(model))
            stack.enter_context(reading)
            run_pipeline(batch, stop_after=max(steps))
    return pictures if decode else []


def load_batch(batch: Pass) -> list[Image.Image]:
    """Load the pictures of a batch, RGB, cropped to its size.

    Raises:
        AutointerpError: A picture cannot be read, or has changed since the command began.
    """
    size = sides(batch.settings.size)
    return [load_picture(job, size) for job in batch.jobs]


def check_shape(model: Model, clean: torch.Tensor, wanted: torch.Tensor) -> None:
    """Raise `AutointerpError` where encoded pictures do not have the shape that the denoiser takes."""
    if clean.shape != wanted.shape:
        raise AutointerpError(
            f"{type(model.pipeline).__name__} denoises latents of shape {tuple(wanted.shape)}, and its pictures are "
            f"encoded to {tuple(clean.shape)}",
            "its entry would have to be added, see docs/howto.md",
        )


def encode_pictures(model: Model, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Encode pictures of one size to latents: float32, on the model's device, in the form that the denoiser takes.

    Take the mean of the autoencoder's distribution, shift and scale it as its configuration says, and pack it where the
    family packs latents.

    Raises:
        NotFiniteError: The latents are not finite.
    """
    vae, family = model.pipeline.vae, model.family
    pixels = torch.from_numpy(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]))
    given = pixels.permute(0, 3, 1, 2).float().to(model.device) / 127.5 - 1
    kept = vae.dtype
    # Some autoencoders overflow in float16; their configuration says so.
    upcast = kept == torch.float16 and vae.config.get("force_upcast")
    if upcast:
        vae.to(torch.float32)
    try:
        with torch.inference_mode():
            if vae.config.get("in_channels") == _RGBA:
                given = torch.cat([given, torch.ones_like(given[:, :1])], 1)
            # Some autoencoders of pictures are those of videos: a picture is a video of one frame.
            one_by_one = (one[None, :, None] if family.encodes_videos else one[None] for one in given)
            latents = torch.cat([_latents(vae.encode(one.to(vae.dtype))) for one in one_by_one]).float()
            latents = latents.squeeze(2) if family.encodes_videos else latents
    finally:
        if upcast:
            vae.to(kept)
    check_encoded(model, latents)
    packed: torch.Tensor = family.pack_latents(family.scale_latents(vae, latents))
    return packed


def _latents(encoded: Any) -> torch.Tensor:
    """Return the latents in the output of an autoencoder of any kind."""
    if hasattr(encoded, "latent_dist"):
        mode: torch.Tensor = encoded.latent_dist.mode()
        return mode
    found: torch.Tensor = encoded.latents if hasattr(encoded, "latents") else encoded.latent
    return found
