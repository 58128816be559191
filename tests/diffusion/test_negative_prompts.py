"""Negative prompts: each image of a batch has its own, and only guidance of two branches takes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import generation_hash
from autointerp.errors import UsageError
from tests.diffusion.helpers import JOBS, Models, settings_of


@pytest.mark.parametrize("family", ["sd", "flux"])
def test_an_images_own_negative_prompt_changes_that_image_alone(tiny_model: Models, family: str) -> None:
    model = tiny_model(family)
    settings = settings_of(model, guidance=5.0)
    jobs = [JOBS[0], replace(JOBS[1], negative="small blue star")]
    plain, led = (
        [np.asarray(picture, int) for _, some in generate(model, run, settings) for picture in some]
        for run in (JOBS, jobs)
    )
    assert np.abs(plain[0] - led[0]).max() <= 2
    assert not np.array_equal(plain[1], led[1])


def test_without_guidance_a_negative_prompt_is_refused(tiny_model: Models) -> None:
    model = tiny_model("flux")
    with pytest.raises(UsageError, match="FluxPipeline at guidance 1 takes no negative prompt"):
        list(generate(model, [replace(JOBS[0], negative="star")], settings_of(model)))


def test_a_negative_prompt_is_part_of_an_images_identity(tiny_model: Models) -> None:
    settings = settings_of(tiny_model("flux"))
    hashes = [generation_hash("m", "r", one, settings) for one in (JOBS[0], replace(JOBS[0], negative="star"))]
    assert hashes[0] != hashes[1]
