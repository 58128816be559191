"""Real pictures: what the denoiser gets of them, and the noise that leads to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autointerp.diffusion.capture import Capture, LayerActivations
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import ImageJob
from autointerp.diffusion.layers import resolve_layer
from autointerp.diffusion.model import Model
from autointerp.diffusion.passes import Pass
from autointerp.diffusion.real import read_pictures
from autointerp.diffusion.sources.pictures import load_pictures
from autointerp.errors import AutointerpError
from tests.diffusion.helpers import STEP, STEPS, real_settings

FAMILIES = ("sd", "sdxl", "flux", "sd3", "pixart")


@contextmanager
def spying(model: Model, seen: list[torch.Tensor]) -> Iterator[None]:
    """Keeps the latents that the denoiser is run on."""

    def keep(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append(
            (kwargs["hidden_states"] if "hidden_states" in kwargs else (*args, kwargs.get("sample"))[0]).clone()
        )

    handle = model.denoiser.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize(
    ("name", "theirs_is", "sized"),
    [
        ("sdxl", "StableDiffusionXLImg2ImgPipeline", False),
        ("flux", "FluxImg2ImgPipeline", True),
        ("sd3", "StableDiffusion3Img2ImgPipeline", True),
    ],
)
def test_the_denoiser_gets_what_image_to_image_pipelines_give_it(
    name: str,
    theirs_is: str,
    sized: bool,
    photos: Path,
    tiny_model: Callable[[str], Model],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Encoding, packing, noise and its level, each against diffusers' own pipeline for that."""
    import diffusers
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    model = tiny_model(name)
    jobs, settings = load_pictures(photos).jobs(0, 2, 7), real_settings(model)
    ours: list[torch.Tensor] = []
    pictures = read_pictures(Pass(model, tuple(jobs), settings), [STEP], spying(model, ours))
    # Theirs draws latents around the mean, with the generator that then draws the noise.
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    theirs: list[torch.Tensor] = []
    pipeline = getattr(diffusers, theirs_is).from_pipe(model.pipeline)
    pipeline.set_progress_bar_config(disable=True)
    arguments = model.family.call(model.configs, settings.guidance, len(jobs)).arguments
    with torch.inference_mode(), spying(model, theirs):
        pipeline(
            prompt=[""] * 2,
            image=pictures,
            strength=1 - STEP / STEPS,
            num_inference_steps=STEPS,
            generator=[torch.Generator("cpu").manual_seed(job.seed) for job in jobs],
            output_type="latent",
            **({"width": 64, "height": 64} if sized else {}),
            **{"guidance_scale": 1.0, **arguments},
        )
    # The spy is the last hook: it sees the pipeline's own latents where nothing is run, so ours are the wanted ones.
    assert torch.allclose(ours[STEP], theirs[0], atol=1e-4), (ours[STEP] - theirs[0]).abs().max()


@pytest.mark.parametrize("name", FAMILIES)
def test_reading_is_by_seed_and_picture_alone(name: str, photos: Path, tiny_model: Callable[[str], Model]) -> None:
    model = tiny_model(name)
    layer = resolve_layer(model, "mid", size=64)
    jobs = load_pictures(photos).jobs(0, 3, 7)

    def acts_of(jobs: list[ImageJob], batch_size: int, guidance: float = 5.0) -> tuple[torch.Tensor, int, list[Any]]:
        got: list[torch.Tensor] = []
        runs = 0

        def keep(captured: LayerActivations) -> None:
            assert captured.step in (2, 3)
            got.append(captured.acts.clone())

        def count(*_: Any) -> None:
            nonlocal runs
            runs += 1

        handle = model.module(layer.hookpoint).register_forward_hook(count)
        made = list(generate(model, jobs, real_settings(model, guidance), Capture([layer], (2, 3), keep), batch_size))
        handle.remove()
        return torch.cat(got[::2] + got[1::2]), runs, [picture for _, pictures in made for picture in pictures]

    together, runs, pictures = acts_of(jobs, 3)
    alone, _, _ = acts_of(jobs, 1)
    assert runs == 2  # once a wanted step, and the other branch is not run where it is a call of its own
    assert torch.allclose(together, alone, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(together[0], together[1], atol=1e-2)
    other, _, _ = acts_of([ImageJob(0, "", 8, None, jobs[0].picture)], 1)
    assert not torch.allclose(other[0], together[0], atol=1e-2)
    assert [picture.size for picture in pictures] == [(64, 64)] * 3
    assert np.array_equal(np.asarray(pictures[0]), np.asarray(Image.open(photos / "a.png")))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.denoiser.modules())


def test_steps_of_noise_alone_are_refused(photos: Path, tiny_model: Callable[[str], Model]) -> None:
    model = tiny_model("flux")
    layer = resolve_layer(model, "mid", size=64)
    jobs = load_pictures(photos).jobs(0, 1, 0)
    with pytest.raises(AutointerpError, match="at step 0 a real picture is 100.0% noise"):
        list(generate(model, jobs, real_settings(model), Capture([layer], (0,), lambda c: None)))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.denoiser.modules())
