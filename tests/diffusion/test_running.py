"""Running a pipeline."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.dictionaries.sparse import decode_sparse, select_topk
from autointerp.diffusion.arguments import named
from autointerp.diffusion.capture import Capture, LayerActivations
from autointerp.diffusion.edits import Edit, replace
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import GenerationSettings, ImageJob
from autointerp.diffusion.layers import resolve_layer
from tests.diffusion import helpers

JOBS = [
    ImageJob(n, prompt, 100 + n)
    for n, prompt in enumerate(
        ["large red solid circle center", "small blue star", "green ring top left", "sky background", ""]
    )
]


def settings_of(model, **overrides) -> GenerationSettings:
    return GenerationSettings.resolve(model.defaults, overrides)


def test_bfloat16_steps_are_added_in_float32(model) -> None:
    given: list[torch.dtype] = []

    def note(module, args, kwargs) -> None:
        given.append(kwargs["hidden_states"].dtype)

    handle = model.denoiser.register_forward_pre_hook(note, with_kwargs=True)
    rough = dataclasses.replace(model, dtype=torch.bfloat16)
    list(generate(rough, JOBS[:1], settings_of(model, guidance=0.0)))
    handle.remove()
    assert given == [torch.float32] * 3


def test_consumers_and_changes_compute_in_float32_while_the_model_does_not(model) -> None:
    """A dictionary's codes are not rounded by the model's autocast, nor refused by operations of mixed dtypes."""
    rough = dataclasses.replace(model, dtype=torch.bfloat16)
    settings = settings_of(model, guidance=0.0)
    layer = resolve_layer(rough, "mid")
    weights = torch.randn(layer.d_in, layer.d_in)
    products: list[torch.dtype] = []

    def consume(captured: LayerActivations) -> None:
        products.append((captured.acts @ weights).dtype)

    def rebuild(acts: torch.Tensor, step: int) -> torch.Tensor:
        code = select_topk((acts.reshape(-1, layer.d_in) @ weights).abs(), 4)
        return decode_sparse(code, weights).view(acts.shape)

    list(generate(rough, JOBS[:1], settings, Capture([layer], (0,), consume), edits=[Edit(layer, replace(rebuild))]))
    assert products == [torch.float32]


@pytest.mark.parametrize("name", ["flux", "sd", "sdxl", "sd3", "pixart"])
def test_steps_of_weights_in_half_precision_are_added_in_float32(name: str, tiny_model: helpers.Models) -> None:
    """On an accelerator the weights are of half precision, and nothing is cast by itself; a processor stands in."""
    plain = tiny_model(name)
    pipeline = copy.deepcopy(plain.pipeline).to(torch.bfloat16)
    half = dataclasses.replace(plain, pipeline=pipeline, device="meta", dtype=torch.bfloat16)
    settings = helpers.settings_of(plain, name)
    given: list[torch.dtype] = []
    added: list[torch.dtype] = []
    step = pipeline.scheduler.step

    def noted(answer: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        found = step(answer, timestep, sample, *args, **kwargs)
        added.extend([answer.dtype, found[0].dtype])
        return found

    pipeline.scheduler.step = noted
    layer = resolve_layer(half, "mid")
    captured: list[torch.Tensor] = []
    capture = Capture([layer], (0, 2), lambda one: captured.append(one.acts))

    inner = half.denoiser.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        given.append(half.family.latents(named(half.denoiser, args, kwargs)).dtype)
        return inner(*args, **kwargs)

    half.denoiser.forward = forward  # type: ignore[method-assign]
    ((_, pictures),) = generate(half, helpers.JOBS, settings, capture)
    assert set(given) == {torch.bfloat16}
    assert set(added) == {torch.float32}
    assert len(pictures) == 2
    ((_, exact),) = generate(plain, helpers.JOBS, settings)
    far = [np.abs(np.asarray(a, float) - np.asarray(b, float)).mean() for a, b in zip(pictures, exact, strict=True)]
    assert max(far) < 12, far
    assert not half.denoiser._forward_hooks
    assert not half.denoiser._forward_pre_hooks
    assert "decode" not in vars(pipeline.vae)
