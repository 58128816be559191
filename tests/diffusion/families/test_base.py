"""The contract of families: every one on a tiny pipeline of its real classes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.diffusion.capture import Capture, LayerActivations
from autointerp.diffusion.generation import generate
from autointerp.diffusion.layers import list_layers, neurons_of, resolve_layer
from tests.diffusion.helpers import JOBS, NAMES, Models, by_hand, captured_of, hooks_on, rows_of, settings_of

# Which of a family's denoiser calls counts for each of three steps, with guidance: PNDM corrects its first step in a
# call of its own, and FLUX's second call a step is the negative prompt's.
CALLS = {"sd": [0, 2, 3], "flux": [0, 2, 4]}


@pytest.mark.parametrize("guided", [False, True], ids=["plain", "guided"])
@pytest.mark.parametrize("signal", ["output", "update"])
@pytest.mark.parametrize("name", NAMES)
def test_captured_tensors_are_bit_for_bit_what_plain_hooks_see(
    tiny_model: Models, name: str, signal: str, guided: bool
) -> None:
    model = tiny_model(name)
    settings = settings_of(model, name if guided else None)
    layers = [resolve_layer(model, alias, signal=signal) for alias in model.aliases]
    got, _ = captured_of(model, layers, (0, 1, 2), settings)
    seen = by_hand(model, [layer.hookpoint for layer in layers], settings)
    calls = [0, 1, 2] if name == "flux" and not guided else CALLS.get(name, [0, 1, 2])
    for layer in layers:
        mine = [c for c in got if c.layer == layer]
        assert [c.step for c in mine] == [0, 1, 2]
        assert len(seen[layer.hookpoint]) == {"sd": 4, "flux": 6 if guided else 3}.get(name, 3)
        for c, call in zip(mine, calls, strict=True):
            before, after = seen[layer.hookpoint][call]
            if name in ("sd", "sdxl"):
                (after,) = after  # a 1-tuple
                before, after = rows_of(before), rows_of(after)
            elif name in ("flux", "sd3"):
                after = after[1]
            doubled = guided and name != "flux"
            assert len(after) == (4 if doubled else 2)
            before, after = before[-2:], after[-2:]  # [negative; positive]
            assert torch.equal(c.acts, after - before if signal == "update" else after)
            assert c.acts.shape == (2, layer.grid[0] * layer.grid[1], layer.d_in)


@pytest.mark.parametrize("name", NAMES)
def test_the_half_that_is_harvested_is_that_of_the_prompt(tiny_model: Models, name: str) -> None:
    """At the first step guidance has not changed the latents: without it the same activations come."""
    model = tiny_model(name)
    layer = resolve_layer(model, "mid")
    plain, _ = captured_of(model, [layer], (0,), settings_of(model))
    guided, _ = captured_of(model, [layer], (0,), settings_of(model, name))
    assert torch.allclose(plain[0].acts, guided[0].acts, rtol=1e-4, atol=1e-5)
    other, _ = captured_of(model, [layer], (0,), settings_of(model), jobs=[dataclasses.replace(JOBS[0], prompt="")])
    assert not torch.allclose(other[0].acts[0], plain[0].acts[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_its_batch(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    layer = resolve_layer(model, "late", signal="output")
    together, pictures = captured_of(model, [layer], (2,), settings_of(model, name))
    alone, single = captured_of(model, [layer], (2,), settings_of(model, name), batch_size=1)
    assert torch.allclose(together[0].acts, torch.cat([c.acts for c in alone]), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(together[0].acts[0], together[0].acts[1], rtol=1e-2, atol=1e-2)
    for a, b in zip(pictures, single, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 2


@pytest.mark.parametrize("name", NAMES)
def test_capture_changes_no_picture_and_leaves_no_hook(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    settings = settings_of(model, name)
    layers = [resolve_layer(model, alias) for alias in model.aliases]
    assert hooks_on(model) == 0
    _, with_capture = captured_of(model, layers, (0, 1, 2), settings)
    assert hooks_on(model) == 0
    _, without = captured_of(model, [], (), settings)
    assert len(without) == 2
    assert without[0].shape == (64, 64, 3)
    assert all(np.array_equal(a, b) for a, b in zip(with_capture, without, strict=True))

    def fail(captured: LayerActivations) -> None:
        raise KeyError("the consumer's own")

    for decode in (True, False):
        with pytest.raises(KeyError, match="own"):
            list(generate(model, JOBS, settings, Capture(layers, (1,), fail), decode=decode))
        assert hooks_on(model) == 0


@pytest.mark.parametrize("name", NAMES)
def test_without_pictures_a_run_ends_after_its_last_wanted_step(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    layer = resolve_layer(model, "mid")
    settings = settings_of(model, name)
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    handle = model.denoiser.register_forward_pre_hook(count)
    got, pictures = captured_of(model, [layer], (1,), settings, decode=False)
    handle.remove()
    assert pictures == []
    assert calls == {"sd": 3, "flux": 4}.get(name, 2)
    full, _ = captured_of(model, [layer], (1,), settings)
    assert torch.equal(got[0].acts, full[0].acts)
    assert hooks_on(model) == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_hookpoint_gives_tokens_of_the_width_and_grid_it_says(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    layers = [dataclasses.replace(lay, signal="output") for lay in list_layers(model, all_hookpoints=True)]
    units = [neurons_of(model, lay) for lay in layers if ".attentions." in lay.hookpoint or name not in ("sd", "sdxl")]
    every = list({lay.hookpoint: lay for lay in [*layers, *units]}.values())
    got, _ = captured_of(model, every, (0,), settings_of(model, name), decode=False)
    assert {c.layer.hookpoint for c in got} == {lay.hookpoint for lay in every}
