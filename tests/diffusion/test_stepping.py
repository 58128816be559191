"""Listening to a scheduler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler

from autointerp.diffusion.stepping import listening


def test_each_step_is_heard_and_nothing_stays() -> None:
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(3)
    heard: list[Any] = []
    prediction, latents = torch.ones(1, 4), torch.zeros(1, 4)
    with listening(scheduler, lambda *both: heard.append(both)):
        for timestep in scheduler.timesteps:
            latents = scheduler.step(prediction, timestep, latents).prev_sample
    assert len(heard) == 3
    assert all(given is prediction for given, _ in heard)
    assert heard[-1][1] is latents
    assert "step" not in vars(scheduler)
    with pytest.raises(KeyError), listening(scheduler, lambda *both: None):
        raise KeyError
    assert "step" not in vars(scheduler)


def test_a_step_that_was_replaced_before_is_put_back() -> None:
    scheduler = DDIMScheduler()
    own = scheduler.step
    scheduler.step = own
    with listening(scheduler, lambda *both: None):
        assert scheduler.step is not own
    assert scheduler.step is own
