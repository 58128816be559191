"""Calls of the denoiser, told apart."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from autointerp.diffusion.calls import Calls, steps_of_calls
from autointerp.diffusion.families import GenericFamily, PipelineCall
from autointerp.diffusion.layers import resolve_layer
from autointerp.diffusion.noising import noised
from autointerp.diffusion.passes import Pass
from autointerp.errors import AutointerpError
from tests.diffusion.helpers import JOBS, Models, captured_of, hooks_on, settings_of


def plan_of(name: str, steps: int, unrun: int = 0, **config: Any) -> list[int]:
    import diffusers

    scheduler = getattr(diffusers, name)(**config)
    scheduler.set_timesteps(steps)
    return steps_of_calls(scheduler, steps, unrun)


def test_a_step_is_not_a_call() -> None:
    """Schedulers that run the denoiser more than once a step, and one that does not."""
    assert plan_of("PNDMScheduler", 3, skip_prk_steps=True) == [0, -1, 1, 2]
    prk = plan_of("PNDMScheduler", 5)
    assert prk == [0, -1, -1, -1, 1, -1, -1, -1, 2, -1, -1, -1, 3, 4]
    for second_order in ("HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"):
        assert plan_of(second_order, 3) == [0, -1, 1, -1, 2]
    assert plan_of("DDIMScheduler", 3) == [0, 1, 2]
    assert plan_of("HeunDiscreteScheduler", 1) == [0]
    assert plan_of("SCMScheduler", 2, unrun=1) == [0, 1, -1]


@pytest.mark.parametrize(
    "name",
    [
        "DPMSolverMultistepScheduler",
        "UniPCMultistepScheduler",
        "DEISMultistepScheduler",
        "DPMSolverSinglestepScheduler",
    ],
)
@pytest.mark.parametrize("steps", [50, 100])
def test_steps_may_share_a_rounded_timestep(name: str, steps: int) -> None:
    import diffusers

    given = {"use_karras_sigmas": True, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    scheduler = getattr(diffusers, name)(**given)
    scheduler.set_timesteps(steps)
    assert len(set(scheduler.timesteps.tolist())) < steps
    assert steps_of_calls(scheduler, steps) == list(range(steps))


def test_an_order_of_calls_that_is_not_known_is_refused() -> None:
    with pytest.raises(AutointerpError, match="SCMScheduler runs the denoiser 3 times in 2 steps"):
        plan_of("SCMScheduler", 2)


def test_a_pass_reads_every_step_of_a_scheduler_whose_timesteps_repeat(tiny_model: Models) -> None:
    """DPM++ 2M Karras at its usual 50 steps: each step is read once, and a real picture is noised to its own level."""
    from diffusers import DPMSolverMultistepScheduler

    plain = tiny_model("sd")
    scheduler = DPMSolverMultistepScheduler.from_config(plain.pipeline.scheduler.config, use_karras_sigmas=True)
    kept, plain.pipeline.scheduler = plain.pipeline.scheduler, scheduler
    try:
        got, pictures = captured_of(
            plain, [resolve_layer(plain, "mid")], tuple(range(50)), settings_of(plain, steps=50)
        )
        assert [c.step for c in got] == list(range(50))
        assert len(pictures) == 2
        times = scheduler.timesteps.tolist()
        twice = next(n for n in range(49) if times[n] == times[n + 1])
        one, none = torch.ones(1, 1), torch.zeros(1, 1)
        levels = [float(noised(plain, run, none, one)) for run in (twice, twice + 1)]
        sigmas = [float(sigma / (sigma**2 + 1) ** 0.5) for sigma in scheduler.sigmas[twice : twice + 2]]
        assert levels == pytest.approx(sigmas)
        assert levels[0] > levels[1]
        assert noised(plain, 0, one, none) < noised(plain, 49, one, none)
    finally:
        plain.pipeline.scheduler = kept


def test_several_images_a_prompt_cannot_be_mistaken_for_guidance(tiny_model: Models) -> None:
    """They would be prompt-major inside each half: image 1 of prompt 0 where prompt 1 is looked for."""
    model = tiny_model("sd")

    def several(configs: Any, guidance: float, count: int) -> PipelineCall:
        return PipelineCall({"guidance_scale": guidance, "num_images_per_prompt": 2}, 1)

    family = type("Several", (type(model.family),), {"call": staticmethod(several)})()
    wrong = dataclasses.replace(model, description=dataclasses.replace(model.description, family=family))
    with pytest.raises(ValueError, match="generators"):  # one an image: diffusers itself counts them
        captured_of(wrong, [resolve_layer(model, "mid")], (0,), settings_of(model, "sd"))
    assert hooks_on(model) == 0
    model.pipeline.scheduler.set_timesteps(3)
    timestep = model.pipeline.scheduler.timesteps[0]
    for rows, fits in ((2, True), (4, True), (1, False), (3, False), (8, False)):
        calls = Calls(Pass(model, tuple(JOBS), settings_of(model, "sd")))
        if fits:
            calls.before(model.denoiser, (torch.zeros(rows, 4, 8, 8), timestep), {})
        else:
            with pytest.raises(AutointerpError, match=f"a batch of {rows} for 2 images"):
                calls.before(model.denoiser, (torch.zeros(rows, 4, 8, 8), timestep), {})


@pytest.mark.parametrize(
    ("given", "plain", "half"),
    [
        (80 / 81, True, True),
        (0.98828125, False, True),
        (0.99609375, False, False),
        (0.9, False, False),
        (1, False, False),
    ],
)
def test_a_timestep_that_is_rounded_in_half_precision_is_known(given: float, plain: bool, half: bool) -> None:
    """Where the noise is 80 times the picture, Cosmos tells 80 of 81 parts: 0.9877, which is 0.9883 in bfloat16."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.timesteps = torch.tensor([80_000.0])
    family, pipeline = GenericFamily("Cosmos2TextToImagePipeline", "transformer"), SimpleNamespace(scheduler=scheduler)
    given_call = {"hidden_states": torch.zeros(1, 4, 1, 8, 8), "timestep": torch.tensor([given])}
    for dtype, fits in ((torch.float32, plain), (torch.bfloat16, half)):
        model = SimpleNamespace(family=family, dtype=dtype, pipeline=pipeline)
        batch: Any = SimpleNamespace(model=model, steps=1, branches=1, conditional_branch=0, count=1)
        with nullcontext() if fits else pytest.raises(AutointerpError, match="call 0 of the denoiser ran at timestep"):
            Calls(batch).before(torch.nn.Identity(), (), given_call)
