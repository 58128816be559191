"""A pass: one generation of one batch."""

from __future__ import annotations

import dataclasses

import pytest

from autointerp.diffusion.passes import Pass
from tests.diffusion.helpers import JOBS, Models, settings_of


@pytest.mark.parametrize(("name", "guided", "branches"), [("flux", True, 2), ("flux", False, 1), ("sd", True, 1)])
def test_guidance_decides_the_calls_of_a_step(tiny_model: Models, name: str, guided: bool, branches: int) -> None:
    """FLUX asks for the negative prompt in a call of its own; Stable Diffusion doubles the batch."""
    model = tiny_model(name)
    batch = Pass(model, tuple(JOBS), settings_of(model, name if guided else None))
    assert (batch.count, batch.steps, batch.branches) == (2, batch.settings.steps, branches)
    if name == "flux":
        assert ("negative_prompt" in batch.arguments) == guided


def test_another_guidance_is_another_call(tiny_model: Models) -> None:
    model = tiny_model("flux")
    batch = Pass(model, tuple(JOBS), settings_of(model, "flux"))
    assert batch.branches == 2
    plain = dataclasses.replace(batch, settings=dataclasses.replace(batch.settings, guidance=1.0))
    assert plain.branches == 1
