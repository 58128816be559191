"""The denoiser at chosen latents."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autointerp.diffusion.noising import answering, denoising_at, noised, picture_share
from autointerp.diffusion.passes import Pass
from autointerp.diffusion.running import run_pipeline
from tests.diffusion.helpers import JOBS, Models, hooks_on, settings_of


@pytest.mark.parametrize("name", ["flux", "sd"])
def test_the_denoiser_runs_at_the_chosen_steps_and_latents_alone(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    batch = Pass(model, tuple(JOBS), settings_of(model, name))
    asked: list[torch.Size] = []
    seen: list[Any] = []

    def latents(run: int, noise: torch.Tensor) -> torch.Tensor:
        asked.append(noise.shape)
        return torch.full_like(noise, 0.25)

    def watch(_module: Any, args: Any, kwargs: Any) -> None:
        seen.append(args[0] if args else kwargs.get("hidden_states", kwargs.get("sample")))

    with denoising_at(batch, [1], latents) as calls:
        handle = model.denoiser.register_forward_pre_hook(watch, with_kwargs=True)
        run_pipeline(batch, stop_after=1)
        handle.remove()
    assert len(asked) == 1
    assert sum(bool((states == 0.25).all()) for states in seen) == 1
    assert calls.step == 1
    assert hooks_on(model) == 0


def test_the_denoisers_own_forward_comes_back_after_an_error(tiny_model: Models) -> None:
    model = tiny_model("flux")
    own = model.denoiser.forward

    def fail() -> None:
        assert model.denoiser.forward != own
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), answering(model, lambda inputs: None):
        fail()
    assert model.denoiser.forward == own


@pytest.mark.parametrize("name", ["flux", "sd"])
def test_the_share_of_the_picture_grows_with_the_steps(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    batch = Pass(model, tuple(JOBS), settings_of(model, name))
    run_pipeline(batch, stop_after=0)  # This sets the scheduler's timesteps.
    runs = range(len(model.pipeline.scheduler.timesteps))
    shares = [picture_share(model, run) for run in runs]
    assert all(0 <= share <= 1 for share in shares)
    assert shares == sorted(shares)
    clean, noise = torch.ones(1, 1), torch.zeros(1, 1)
    assert float(noised(model, runs[-1], clean, noise)) > float(noised(model, runs[0], clean, noise))
