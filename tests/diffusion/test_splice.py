"""What stands in a layer's place, and the denoising error that it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from autointerp.diffusion.generation import GenerationSettings, ImageJob, generate
from autointerp.diffusion.layers import neurons_of, resolve_layer
from autointerp.diffusion.loading import Model, load_model
from autointerp.diffusion.splice import UNCHANGED, splice_images, zeroed

JOBS = [ImageJob(i, prompt, 100 + i) for i, prompt in enumerate(["a red circle on sand", "a blue star on grass"])]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("shapes", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def settings(model: Model) -> GenerationSettings:
    return GenerationSettings.resolve(model.description.defaults, {"steps": 4})


@pytest.mark.parametrize(
    ("name", "signal"), [("mid", "update"), ("mid", "output"), ("late", "update"), ("late", "output")]
)
def test_what_was_there_changes_nothing_and_zero_does(
    model: Model, settings: GenerationSettings, name: str, signal: str
) -> None:
    layer = resolve_layer(model, name, signal=signal)
    units = neurons_of(model, layer)
    splices = {
        "same": (layer, lambda acts, step: acts.clone()),
        "units": (units, lambda acts, step: acts.clone()),
        "nothing": (layer, zeroed),
        "no units": (units, zeroed),
    }
    ((batch, found),) = splice_images(model, JOBS, settings, splices, [1, 3])
    assert batch == JOBS
    plain = next(generate(model, JOBS, settings))[1]
    for i in range(2):
        for same in (UNCHANGED, "same", "units"):
            assert np.abs(np.asarray(found.pictures[same][i], int) - np.asarray(plain[i], int)).max() <= 1
        assert np.abs(np.asarray(found.pictures["nothing"][i], int) - np.asarray(plain[i], int)).mean() > 0.5
    assert torch.allclose(found.errors["same"], found.errors[UNCHANGED], rtol=1e-3)
    assert torch.allclose(found.errors["units"], found.errors[UNCHANGED], rtol=1e-3)
    assert (found.errors["nothing"] > found.errors[UNCHANGED]).all()
    assert (found.errors["no units"] > found.errors[UNCHANGED]).all()
    # Nothing of ours is left on the model.
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.denoiser.modules())


def test_the_error_is_that_of_the_velocity_at_noised_images(model: Model, settings: GenerationSettings) -> None:
    """Once more by hand: the model's own latents, noised with their own noise, at one step."""
    seen: dict[str, torch.Tensor] = {}
    layer = resolve_layer(model, "mid", signal="update")
    ((_, found),) = splice_images(model, JOBS[:1], settings, {}, [2])

    def first(module: torch.nn.Module, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        seen.setdefault("noise", kwargs["hidden_states"].clone())

    def last(pipeline: object, step: int, timestep: object, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen["clean"] = state["latents"].clone()
        return {}

    arguments, _ = model.family.call(model.configs, settings.guidance, 1)
    call = {
        "prompt": [JOBS[0].prompt],
        "num_inference_steps": settings.steps,
        "height": settings.size,
        "width": settings.size,
        "max_sequence_length": settings.max_sequence_length,
        "output_type": "latent",
        **arguments,
    }
    handle = model.denoiser.register_forward_pre_hook(first, with_kwargs=True)
    with torch.inference_mode():
        model.pipeline(generator=[torch.Generator("cpu").manual_seed(100)], callback_on_step_end=last, **call)
    handle.remove()
    sigma = float(model.pipeline.scheduler.sigmas[2])
    noised = (1 - sigma) * seen["clean"] + sigma * seen["noise"]
    answers: list[torch.Tensor] = []
    count = 0

    def put(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        nonlocal count
        count += 1
        return args, {**kwargs, "hidden_states": noised}

    def keep(module: torch.nn.Module, args: object, output: tuple[torch.Tensor]) -> None:
        answers.append(output[0].clone())

    handles = [
        model.denoiser.register_forward_pre_hook(put, with_kwargs=True),
        model.denoiser.register_forward_hook(keep),
    ]
    with torch.inference_mode():
        model.pipeline(generator=[torch.Generator("cpu").manual_seed(100)], **call)
    for handle in handles:
        handle.remove()
    branches = count // settings.steps
    expected = (answers[2 * branches] - (seen["noise"] - seen["clean"])).square().mean()
    assert layer.signal == "update"
    assert float(found.errors[UNCHANGED][0]) == pytest.approx(float(expected), rel=1e-4)


def test_only_the_wanted_steps_and_the_conditional_branch_are_touched(
    model: Model, settings: GenerationSettings
) -> None:
    layer = resolve_layer(model, "late", signal="output")
    seen: list[tuple[int, tuple[int, ...]]] = []

    def watch(acts: torch.Tensor, step: int) -> torch.Tensor:
        seen.append((step, tuple(acts.shape)))
        return acts

    list(splice_images(model, JOBS, settings, {"watched": (layer, watch)}, [3, 1], batch_size=1))
    shape = (1, layer.grid[0] * layer.grid[1], layer.d_in)
    # An error and a picture of each of the two images, at both steps.
    assert seen == [(1, shape), (3, shape)] * 4
