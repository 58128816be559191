"""Edits measured: denoising errors and pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.diffusion.editing import editing
from autointerp.diffusion.edits import Edit, replace, zeroed
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import GenerationSettings, ImageJob
from autointerp.diffusion.layers import mlp_of, neurons_of, resolve_layer
from autointerp.diffusion.loading import load_model
from autointerp.diffusion.model import Model
from autointerp.diffusion.passes import Pass
from autointerp.diffusion.splicing import UNCHANGED, splice_images
from tests.diffusion import tiny
from tests.diffusion.helpers import JOBS, NAMES, Models, by_hand, captured_of, hooks_on, settings_of


@pytest.mark.parametrize("name", NAMES)
def test_a_splice_of_what_was_there_changes_nothing(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    settings = settings_of(model, name)
    splices: dict[str, Edit] = {}
    same = replace(lambda acts, step: acts.clone())
    for alias in model.aliases:
        layer = resolve_layer(model, alias, signal="output")
        splices[alias] = Edit(layer, same)
        splices[f"{alias} units"] = Edit(neurons_of(model, layer), same)
        if "single" not in layer.hookpoint:
            splices[f"{alias} map"] = Edit(mlp_of(model, layer), same)
        splices[f"{alias} update"] = Edit(dataclasses.replace(layer, signal="update"), same)
        splices[f"no {alias}"] = Edit(layer, replace(zeroed))
    ((batch, found),) = splice_images(model, JOBS, settings, splices, [1, 2])
    assert batch == JOBS
    assert hooks_on(model) == 0
    _, plain = captured_of(model, [], (), settings)
    for label in [UNCHANGED, *splices]:
        pictures = [np.asarray(picture, int) for picture in found.pictures[label]]
        if label.startswith("no "):
            assert not torch.allclose(found.errors[label], found.errors[UNCHANGED], rtol=1e-6)
        elif label.endswith("update"):  # Subtracted and added again: the last bits.
            assert all(np.abs(a - b).max() <= 1 for a, b in zip(pictures, plain, strict=True))
            assert torch.allclose(found.errors[label], found.errors[UNCHANGED], rtol=1e-4)
        else:
            assert all(np.array_equal(a, b) for a, b in zip(pictures, plain, strict=True))
            assert torch.equal(found.errors[label], found.errors[UNCHANGED])


def test_a_splice_leaves_the_negative_half_and_the_form(tiny_model: Models) -> None:
    model = tiny_model("sd")
    settings = settings_of(model, "sd")
    layer = resolve_layer(model, "mid", signal="output")
    inner = "unet.mid_block.resnets.1"  # gets what the attention returns
    plain = by_hand(model, [inner], settings)[inner]
    with editing(Pass(model, tuple(JOBS), settings), [Edit(layer, replace(zeroed), (0,))]):
        changed = by_hand(model, [inner], settings)[inner]
    assert torch.equal(changed[0][0][:2], plain[0][0][:2])
    assert plain[0][0][2:].abs().max() > 0
    assert changed[0][0][2:].abs().max() == 0
    assert changed[0][0].shape == plain[0][0].shape == (4, 32, 2, 2)


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "EulerDiscreteScheduler", "PNDMScheduler"])
def test_the_error_is_that_of_what_the_scheduler_says_is_predicted(
    tmp_path: Path, scheduler: str, predicts: str
) -> None:
    """Once more by hand, from the definition x = sqrt(a) clean + sqrt(1 - a) noise, at one step."""
    if (scheduler, predicts) == ("PNDMScheduler", "sample"):
        pytest.skip("diffusers has no such scheduler")
    folder = tiny.save(lambda: tiny.sd(scheduler, prediction_type=predicts), tmp_path / "model")
    model = load_model(str(folder), device="cpu", dtype="float32")
    settings = settings_of(model)
    ((_, found),) = splice_images(model, JOBS, settings, {}, [1])
    noise = torch.cat([torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(j.seed)) for j in JOBS])
    states: list[torch.Tensor] = []

    def last(pipeline: Any, step: int, timestep: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        states.append(state["latents"].clone())
        return {}

    with torch.inference_mode():
        model.pipeline(
            [j.prompt for j in JOBS],
            num_inference_steps=3,
            guidance_scale=1.0,
            height=64,
            width=64,
            output_type="latent",
            generator=[torch.Generator().manual_seed(j.seed) for j in JOBS],
            callback_on_step_end=last,
        )
        clean, timesteps = states[-1], model.pipeline.scheduler.timesteps
        timestep = timesteps[2 if scheduler == "PNDMScheduler" else 1]
        kept = model.pipeline.scheduler.alphas_cumprod[int(timestep)]
        embeds = model.pipeline.encode_prompt([j.prompt for j in JOBS], "cpu", 1, False)[0]
        inputs = kept**0.5 * clean + (1 - kept) ** 0.5 * noise
        predicted = model.denoiser(inputs, timestep, encoder_hidden_states=embeds).sample
    target = {"epsilon": noise, "sample": clean, "v_prediction": kept**0.5 * noise - (1 - kept) ** 0.5 * clean}
    expected = (predicted - target[predicts]).square().flatten(1).mean(1)
    tolerance = 0.02 if scheduler == "EulerDiscreteScheduler" else 1e-4  # its noise level lies between two timesteps
    assert torch.allclose(found.errors[UNCHANGED].float(), expected, rtol=tolerance)


SHAPES_JOBS = [
    ImageJob(i, prompt, 100 + i) for i, prompt in enumerate(["a red circle on sand", "a blue star on grass"])
]


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
        "same": Edit(layer, replace(lambda acts, step: acts.clone())),
        "units": Edit(units, replace(lambda acts, step: acts.clone())),
        "nothing": Edit(layer, replace(zeroed)),
        "no units": Edit(units, replace(zeroed)),
    }
    ((batch, found),) = splice_images(model, SHAPES_JOBS, settings, splices, [1, 3])
    assert batch == SHAPES_JOBS
    plain = next(generate(model, SHAPES_JOBS, settings))[1]
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
    ((_, found),) = splice_images(model, SHAPES_JOBS[:1], settings, {}, [2])

    def first(module: torch.nn.Module, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        seen.setdefault("noise", kwargs["hidden_states"].clone())

    def last(pipeline: object, step: int, timestep: object, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen["clean"] = state["latents"].clone()
        return {}

    arguments = model.family.call(model.configs, settings.guidance, 1).arguments
    call = {
        "prompt": [SHAPES_JOBS[0].prompt],
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

    list(splice_images(model, SHAPES_JOBS, settings, {"watched": Edit(layer, replace(watch))}, [3, 1], batch_size=1))
    shape = (1, layer.grid[0] * layer.grid[1], layer.d_in)
    # An error and a picture of each of the two images, at both steps.
    assert seen == [(1, shape), (3, shape)] * 4
