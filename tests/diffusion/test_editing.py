"""Edits during a pass, against hooks written by hand; and that nothing stays behind."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.diffusion.edits import (
    Branch,
    Edit,
    add_vector,
    box_mask,
    clamp_feature,
    put_cells,
    replace,
    scale_feature,
)
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import GenerationSettings
from autointerp.diffusion.layers import resolve_layer
from autointerp.diffusion.model import Model
from autointerp.errors import AutointerpError
from tests.diffusion import tiny
from tests.diffusion.helpers import JOBS, Models, captured_of, dictionary_of, hooks_on, reader_of, settings_of


def pictures_of(model: Model, settings: GenerationSettings, edits: list[Edit]) -> list[np.ndarray]:
    return [np.asarray(p) for _, made in generate(model, JOBS, settings, edits=edits) for p in made]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("signal", ["output", "update"])
@pytest.mark.parametrize("name", list(tiny.FAMILIES))
def test_editing_nothing_changes_nothing_bit_for_bit(tiny_model: Models, name: str, signal: str) -> None:
    model = tiny_model(name)
    settings = settings_of(model, name)
    edits = []
    for alias in model.aliases:
        layer = resolve_layer(model, alias, signal=signal)
        dictionary = dictionary_of(layer)
        read = reader_of(dictionary, 3)
        edits += [
            Edit(layer, add_vector(torch.zeros(layer.d_in)), branch="both"),
            Edit(layer, scale_feature(read, dictionary.directions[3], 1.0)),
            Edit(layer, clamp_feature(read, dictionary.directions[3], least=0.0), branch="unconditional"),
        ]
        if signal == "output":
            edits.append(Edit(layer, replace(lambda acts, step: acts.clone()), (0, 2), (0, 0, 1, 2)))
    # Pictures have eight bits: a later layer shows all of them.
    last = resolve_layer(model, list(model.aliases)[-1], signal="output")
    edited, pictures = captured_of(model, [last], (2,), settings, edits=edits)
    plain, unedited = captured_of(model, [last], (2,), settings)
    assert torch.equal(edited[0].acts, plain[0].acts)
    assert same(pictures, unedited)
    assert hooks_on(model) == 0


@pytest.mark.parametrize("branch", ["conditional", "unconditional", "both"])
@pytest.mark.parametrize("name", ["sd", "flux"])
def test_an_edit_is_what_a_hook_by_hand_does(tiny_model: Models, name: str, branch: Branch) -> None:
    """SD doubles its batch, and PNDM calls four times in three steps; FLUX asks twice a step, positive first."""
    model = tiny_model(name)
    settings = settings_of(model, name)
    layer = resolve_layer(model, "mid", signal="output")
    vector = torch.linspace(-3, 3, layer.d_in)
    edits = [
        Edit(layer, add_vector(vector), (1, 2), (0, 1, 2, 2), branch),
        Edit(layer, replace(lambda acts, step: acts * (step + 0.5)), (2,), box_mask((1, 0, 2, 2), layer), branch),
    ]
    rows = {"conditional": [2, 3], "unconditional": [0, 1], "both": [0, 1, 2, 3]}[branch]
    call = -1

    def count(*_: Any) -> None:
        nonlocal call
        call += 1

    def by_hand(module: Any, args: Any, output: Any) -> Any:
        step = {"sd": {0: 0, 2: 1, 3: 2}.get(call), "flux": call // 2}[name]
        if step not in (1, 2):
            return None
        if name == "sd":
            (states,) = output
            states = states.clone()
            for row in rows:
                states[row, :, :2, 1] += vector[:, None]
                if step == 2:
                    states[row, :, 1, :2] *= 2.5
            return (states,)
        if (call % 2 == 0) not in {"conditional": (True,), "unconditional": (False,), "both": (True, False)}[branch]:
            return None
        text, image = output
        grid = image.clone().unflatten(1, layer.grid)
        grid[:, :2, 1] += vector
        if step == 2:
            grid[:, 1, :2] *= 2.5
        return text, grid.flatten(1, 2)

    handles = [
        model.denoiser.register_forward_pre_hook(count),
        model.module(layer.hookpoint).register_forward_hook(by_hand),
    ]
    expected = pictures_of(model, settings, [])
    for handle in handles:
        handle.remove()
    edited, plain = pictures_of(model, settings, edits), pictures_of(model, settings, [])
    assert same(edited, expected)
    assert not same(edited, plain)
    assert hooks_on(model) == 0


@pytest.mark.parametrize("signal", ["output", "update"])
@pytest.mark.parametrize("stream", ["image", "text"])
def test_capture_gets_what_edits_made_of_a_layer(tiny_model: Models, stream: str, signal: str) -> None:
    model = tiny_model("flux")
    settings = settings_of(model)
    layer = resolve_layer(model, "early", signal=signal, stream=stream)
    vector = torch.linspace(-1, 1, layer.d_in)
    cells = torch.zeros(layer.grid, dtype=torch.bool)
    cells[0, 1] = True
    edits = [Edit(layer, add_vector(vector), (1,), cells), Edit(layer, add_vector(vector), (1,), cells)]
    plain, _ = captured_of(model, [layer], (1,), settings)
    edited, _ = captured_of(model, [layer], (1,), settings, edits=edits)
    expected = plain[0].acts.clone()
    expected[:, 1] += 2 * vector
    assert torch.allclose(edited[0].acts, expected, atol=1e-5)
    others = torch.arange(layer.grid[0] * layer.grid[1]) != 1
    assert torch.equal(edited[0].acts[:, others], plain[0].acts[:, others])
    other = resolve_layer(model, "early", signal=signal, stream="text" if stream == "image" else "image")
    beside = [captured_of(model, [other], (1,), settings, edits=e)[0][0].acts for e in ([], edits)]
    assert torch.equal(*beside)


def test_hooks_are_gone_after_an_exception(tiny_model: Models) -> None:
    model = tiny_model("sd3")
    layer = resolve_layer(model, "mid")

    def fail(acts: torch.Tensor, step: int) -> torch.Tensor:
        raise KeyError("the change's own")

    with pytest.raises(KeyError, match="own"):
        pictures_of(model, settings_of(model), [Edit(layer, replace(fail))])
    assert hooks_on(model) == 0


def test_what_cannot_be_is_said(tiny_model: Models) -> None:
    model = tiny_model("pixart")
    layer = resolve_layer(model, "mid")
    nothing = add_vector(torch.zeros(layer.d_in))
    for wrong, says in (
        (Edit(layer, nothing, (3,)), "step 3 is not among"),
        (Edit(layer, nothing, branch="unconditional"), "only the conditional branch"),
        (Edit(layer, replace(lambda acts, step: acts[:, :1])), "gave activations of shape"),
        (Edit(dataclasses.replace(layer, d_in=8), nothing), "shape"),
    ):
        with pytest.raises(AutointerpError, match=says):
            pictures_of(model, settings_of(model), [wrong])
        assert hooks_on(model) == 0


@pytest.mark.parametrize("name", ["sd", "flux", "pixart"])
def test_images_of_a_batch_have_edits_of_their_own(tiny_model: Models, name: str) -> None:
    """One batch of one image, edited in three ways, is what three generations of that image are."""
    model = tiny_model(name)
    settings = settings_of(model, name)
    layers = [resolve_layer(model, alias, signal=s) for alias, s in (("early", "output"), ("mid", "update"))]
    same_image = [dataclasses.replace(JOBS[0], index=n) for n in (3, 8, 5, 9)]
    mask = torch.zeros(layers[1].grid, dtype=torch.bool)
    mask[0] = True
    edits = [
        Edit(layers[0], add_vector(torch.linspace(-3, 3, layers[0].d_in)), (1,), images=(8,)),
        Edit(layers[1], replace(lambda acts, step: 3 * acts), (0, 2), mask, images=(5,)),
        Edit(layers[1], add_vector(torch.linspace(2, -2, layers[1].d_in)), images=(8, 9), branch="both"),
        Edit(layers[0], add_vector(torch.ones(layers[0].d_in)), images=(77,)),
    ]
    together, _ = captured_of(model, layers, (2,), settings, jobs=same_image, edits=edits)
    for row, job in enumerate(same_image):
        mine = [dataclasses.replace(one, images=None) for one in edits if job.index in one.images]
        alone, _ = captured_of(model, layers, (2,), settings, jobs=[job], edits=mine)
        for one, other in zip(together, alone, strict=True):
            assert torch.allclose(one.acts[row], other.acts[0], atol=1e-4), job.index
    first = together[0].acts
    assert all(not torch.allclose(first[0], first[row], atol=1e-3) for row in (1, 2, 3))
    assert hooks_on(model) == 0


def test_put_cells_bring_another_pictures_activations(tiny_model: Models) -> None:
    model = tiny_model("pixart")
    settings = settings_of(model)
    layer = resolve_layer(model, "mid", signal="output")
    plain, _ = captured_of(model, [layer], (0, 1), settings)
    values = {step: plain[step].acts[1] for step in (0, 1)}
    some = {step: acts[:2] for step, acts in values.items()}
    cells = torch.zeros(layer.grid, dtype=torch.bool)
    cells.view(-1)[:2] = True
    whole = Edit(layer, put_cells(values), (0, 1), images=(0,))
    part = Edit(layer, put_cells(some), (0, 1), cells, images=(0,))
    for edit, patched in ((whole, slice(None)), (part, slice(2))):
        got, _ = captured_of(model, [layer], (0, 1), settings, edits=[edit])
        for step in (0, 1):
            assert torch.equal(got[step].acts[0, patched], values[step][patched])
            assert torch.allclose(got[step].acts[1], plain[step].acts[1], atol=1e-5)
    assert not torch.allclose(got[0].acts[0, 2:], values[0][2:], atol=1e-3)
