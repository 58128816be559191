"""Inverted pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from autointerp.diffusion.capture import Capture
from autointerp.diffusion.generation import generate
from autointerp.diffusion.inversion import TOLERANCE, invert, unguided
from autointerp.diffusion.layers import resolve_layer
from autointerp.diffusion.model import Model
from autointerp.diffusion.passes import Pass
from autointerp.diffusion.real import encode_pictures
from autointerp.diffusion.running import run_pipeline
from autointerp.diffusion.sources.pictures import load_pictures
from autointerp.errors import AutointerpError
from tests.diffusion.helpers import STEPS, real_settings


def rescaled(model: Model, by: float) -> None:
    """What untrained U-Nets answer is large and changes with everything; a trained one's is tame."""
    with torch.no_grad():
        for parameter in model.denoiser.get_submodule("conv_out").parameters():
            parameter.mul_(by)


@pytest.mark.parametrize(("name", "scheduler"), [("flux", None), ("sd", "DDIMScheduler"), ("sdxl", None)])
def test_generating_from_inverted_noise_gives_the_latents_back(
    name: str, scheduler: str | None, photos: Path, tiny_model: Callable[[str], Model]
) -> None:
    """Within 1% of their norm, after all steps together, by the pipeline and scheduler themselves."""
    import diffusers

    model = tiny_model(name)
    jobs, settings = load_pictures(photos).jobs(0, 2, 7), real_settings(model, 5.0)
    kept, unet = model.pipeline.scheduler, name != "flux"
    try:
        if scheduler:
            kind = getattr(diffusers, scheduler)
            model.pipeline.scheduler = kind.from_config(kept.config, clip_sample=False)
        clean = encode_pictures(model, [Image.open(photos / f"{n}.png") for n in "ab"])
        if unet:
            rescaled(model, 1 / 16)
            # Untrained autoencoders give latents of next to no size.
            clean = (clean - clean.mean()) / clean.std()
        batch = Pass(model, tuple(jobs), settings)
        found = invert(batch, clean)
        assert float(found.residual.max()) < 5 * TOLERANCE
        assert sorted(found.given) == list(range(STEPS))
        last: dict[str, torch.Tensor] = {}
        run_pipeline(
            unguided(batch),
            after_step=lambda run, latents: last.update(latents=latents.clone()),
            latents=found.noise,
        )
        missed = (last["latents"] - clean).flatten(1).norm(dim=1) / clean.flatten(1).norm(dim=1)
        assert float(missed.max()) < 1e-2
    finally:
        model.pipeline.scheduler = kept
        if unet:
            rescaled(model, 16)


def test_inverted_pictures_are_read_on_their_way_and_others_refused(
    photos: Path, tiny_model: Callable[[str], Model]
) -> None:
    model = tiny_model("flux")
    layer = resolve_layer(model, "mid", size=64)
    jobs = load_pictures(photos, inverted=True).jobs(0, 2, 7)
    got: list[torch.Tensor] = []
    list(generate(model, jobs, real_settings(model), Capture([layer], (0, 3), lambda c: got.append(c.acts.clone()))))
    # Noise is not drawn, so another seed is no other image.
    same: list[torch.Tensor] = []
    again = load_pictures(photos, inverted=True).jobs(0, 2, 99)
    list(generate(model, again, real_settings(model), Capture([layer], (0, 3), lambda c: same.append(c.acts.clone()))))
    assert all(torch.equal(a, b) for a, b in zip(got, same, strict=True))
    refused = tiny_model("pixart")  # a multi-step solver
    layer = resolve_layer(refused, "mid", size=64)
    with pytest.raises(AutointerpError, match="DPMSolverMultistepScheduler has no exact inversion"):
        list(generate(refused, jobs, real_settings(refused), Capture([layer], (3,), lambda c: None)))
