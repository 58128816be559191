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

from autointerp.diffusion.capture import Captured
from autointerp.diffusion.generation import GenerationSettings, ImageJob, generate, run_pipeline
from autointerp.diffusion.inversion import TOLERANCE, invert, unguided
from autointerp.diffusion.layers import resolve_layer
from autointerp.diffusion.loading import Model
from autointerp.diffusion.pictures import load_pictures
from autointerp.diffusion.real import encode_pictures, read_pictures
from autointerp.errors import AutointerpError

FAMILIES = ("sd", "sdxl", "flux", "sd3", "pixart")
STEPS, STEP = 4, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three soft pictures, one of them wide."""
    path = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for name, size in {"a": (64, 64), "b": (64, 64), "c": (96, 64)}.items():
        soft = Image.fromarray(draw.integers(0, 255, (6, 6, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        soft.save(path / f"{name}.png")
    return path


def settings_of(model: Model, guidance: float = 1.0) -> GenerationSettings:
    return GenerationSettings.resolve(model.defaults, {"steps": STEPS, "guidance": guidance, "size": 64})


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
    folder: Path,
    tiny_model: Callable[[str], Model],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Encoding, packing, noise and its level, each against diffusers' own pipeline for that."""
    import diffusers
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    model = tiny_model(name)
    jobs, settings = load_pictures(folder).jobs(0, 2, 7), settings_of(model)
    ours: list[torch.Tensor] = []
    pictures = read_pictures(model, jobs, settings, [STEP], spying(model, ours))
    # Theirs draws latents around the mean, with the generator that then draws the noise.
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    theirs: list[torch.Tensor] = []
    pipeline = getattr(diffusers, theirs_is).from_pipe(model.pipeline)
    pipeline.set_progress_bar_config(disable=True)
    arguments, _ = model.family.call(model.configs, settings.guidance, len(jobs))
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
def test_reading_is_by_seed_and_picture_alone(name: str, folder: Path, tiny_model: Callable[[str], Model]) -> None:
    model = tiny_model(name)
    layer = resolve_layer(model, "mid", size=64)
    jobs = load_pictures(folder).jobs(0, 3, 7)

    def acts_of(jobs: list[ImageJob], batch_size: int, guidance: float = 5.0) -> tuple[torch.Tensor, int, list[Any]]:
        got: list[torch.Tensor] = []
        runs = 0

        def keep(captured: Captured) -> None:
            assert captured.step in (2, 3)
            got.append(captured.acts.clone())

        def count(*_: Any) -> None:
            nonlocal runs
            runs += 1

        handle = model.module(layer.hookpoint).register_forward_hook(count)
        made = list(generate(model, jobs, settings_of(model, guidance), [layer], (2, 3), keep, batch_size))
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
    assert np.array_equal(np.asarray(pictures[0]), np.asarray(Image.open(folder / "a.png")))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.denoiser.modules())


def test_steps_of_noise_alone_are_refused(folder: Path, tiny_model: Callable[[str], Model]) -> None:
    model = tiny_model("flux")
    layer = resolve_layer(model, "mid", size=64)
    jobs = load_pictures(folder).jobs(0, 1, 0)
    with pytest.raises(AutointerpError, match="at step 0 a real picture is 100.0% noise"):
        list(generate(model, jobs, settings_of(model), [layer], (0,), lambda c: None))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.denoiser.modules())


def rescaled(model: Model, by: float) -> None:
    """What untrained U-Nets answer is large and changes with everything; a trained one's is tame."""
    with torch.no_grad():
        for parameter in model.denoiser.get_submodule("conv_out").parameters():
            parameter.mul_(by)


@pytest.mark.parametrize(("name", "scheduler"), [("flux", None), ("sd", "DDIMScheduler"), ("sdxl", None)])
def test_generating_from_inverted_noise_gives_the_latents_back(
    name: str, scheduler: str | None, folder: Path, tiny_model: Callable[[str], Model]
) -> None:
    """Within 1% of their norm, after all steps together, by the pipeline and scheduler themselves."""
    import diffusers

    model = tiny_model(name)
    jobs, settings = load_pictures(folder).jobs(0, 2, 7), settings_of(model, 5.0)
    kept, unet = model.pipeline.scheduler, name != "flux"
    try:
        if scheduler:
            kind = getattr(diffusers, scheduler)
            model.pipeline.scheduler = kind.from_config(kept.config, clip_sample=False)
        clean = encode_pictures(model, [Image.open(folder / f"{n}.png") for n in "ab"])
        if unet:
            rescaled(model, 1 / 16)
            # Untrained autoencoders give latents of next to no size.
            clean = (clean - clean.mean()) / clean.std()
        found = invert(model, jobs, settings, clean)
        assert float(found.residual.max()) < 5 * TOLERANCE
        assert sorted(found.given) == list(range(STEPS))
        last: dict[str, torch.Tensor] = {}
        how = unguided(model, settings)
        arguments, _ = model.family.call(model.configs, how.guidance, 2)
        run_pipeline(
            model,
            jobs,
            how,
            {**arguments, "latents": found.noise},
            after_step=lambda run, state: last.update(latents=state["latents"].clone()),
        )
        missed = (last["latents"] - clean).flatten(1).norm(dim=1) / clean.flatten(1).norm(dim=1)
        assert float(missed.max()) < 1e-2
    finally:
        model.pipeline.scheduler = kept
        if unet:
            rescaled(model, 16)


def test_inverted_pictures_are_read_on_their_way_and_others_refused(
    folder: Path, tiny_model: Callable[[str], Model]
) -> None:
    model = tiny_model("flux")
    layer = resolve_layer(model, "mid", size=64)
    jobs = load_pictures(folder, inverted=True).jobs(0, 2, 7)
    got: list[torch.Tensor] = []
    list(generate(model, jobs, settings_of(model), [layer], (0, 3), lambda c: got.append(c.acts.clone())))
    # Noise is not drawn, so another seed is no other image.
    same: list[torch.Tensor] = []
    again = load_pictures(folder, inverted=True).jobs(0, 2, 99)
    list(generate(model, again, settings_of(model), [layer], (0, 3), lambda c: same.append(c.acts.clone())))
    assert all(torch.equal(a, b) for a, b in zip(got, same, strict=True))
    refused = tiny_model("pixart")  # a multi-step solver
    layer = resolve_layer(refused, "mid", size=64)
    with pytest.raises(AutointerpError, match="DPMSolverMultistepScheduler has no exact inversion"):
        list(generate(refused, jobs, settings_of(refused), [layer], (3,), lambda c: None))
