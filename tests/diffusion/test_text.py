"""The text stream: what capture hands over, against hooks written by hand; and what says that there is none."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from autointerp.diffusion.families.flux import FluxText
from autointerp.diffusion.families.sd3 import SD3Text
from autointerp.diffusion.generation import generate
from autointerp.diffusion.layers import list_layers, neurons_of, resolve_layer
from autointerp.errors import AutointerpError, UsageError
from tests.diffusion.helpers import JOBS, Models, captured_of, hooks_on, settings_of

LENGTH = {"flux": 28, "sd3": 77 + 28}


LAYERS = {"flux": ["early", "mid", "late"], "sd3": ["early", "mid", "transformer.transformer_blocks.0.attn"]}


@pytest.mark.parametrize("guided", [False, True], ids=["plain", "guided"])
@pytest.mark.parametrize("signal", ["output", "update"])
@pytest.mark.parametrize("name", LAYERS)
def test_captured_text_is_bit_for_bit_what_plain_hooks_see(
    tiny_model: Models, name: str, signal: str, guided: bool
) -> None:
    model = tiny_model(name)
    settings = settings_of(model, name if guided else None)
    names = [n for n in LAYERS[name] if signal == "output" or not n.endswith("attn")]
    layers = [resolve_layer(model, n, signal=signal, stream="text") for n in names]
    images = [resolve_layer(model, n, signal=signal) for n in names]
    got, _ = captured_of(model, [*layers, *images], (0, 2), settings)
    seen: dict[str, list[torch.Tensor]] = {layer.hookpoint: [] for layer in layers}

    def hook_of(hookpoint: str) -> Any:
        def hook(module: Any, args: Any, kwargs: Any, output: Any) -> None:
            text = output[1] if hookpoint.endswith("attn") else output[0]
            before = kwargs["encoder_hidden_states"] if signal == "update" else 0
            seen[hookpoint].append((text - before).clone())

        return hook

    handles = [
        model.denoiser.get_submodule(layer.hookpoint.partition(".")[2]).register_forward_hook(
            hook_of(layer.hookpoint), with_kwargs=True
        )
        for layer in layers
    ]
    list(generate(model, JOBS, settings))
    for handle in handles:
        handle.remove()
    calls = {0: 0, 2: 4 if guided and name == "flux" else 2}  # FLUX asks the negative prompt in a call of its own
    for layer in layers:
        mine = [c for c in got if c.layer == layer]
        assert [c.step for c in mine] == [0, 2]
        assert layer.grid == (1, LENGTH[name])
        for c in mine:
            assert torch.equal(c.acts, seen[layer.hookpoint][calls[c.step]][-2:])  # [negative; positive]
            assert c.acts.shape == (2, LENGTH[name], layer.d_in)
    assert [c.layer.stream for c in got].count("image") == len(images) * 2
    assert hooks_on(model) == 0


@pytest.mark.parametrize("name", LAYERS)
def test_every_text_layer_gives_tokens_of_the_width_and_grid_it_says(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    layers = [dataclasses.replace(x, signal="output") for x in list_layers(model, all_hookpoints=True, stream="text")]
    units = [neurons_of(model, layer) for layer in layers if not layer.hookpoint.endswith("attn")]
    got, _ = captured_of(model, [*layers, *units], (0,), settings_of(model, name), decode=False)
    assert {c.layer for c in got} == {*layers, *units}
    assert all(c.layer.stream == "text" for c in got)


@pytest.mark.parametrize("name", ["sd", "sdxl", "pixart"])
def test_where_there_is_no_text_in_the_blocks_it_is_said(tiny_model: Models, name: str) -> None:
    with pytest.raises(UsageError, match="has no text tokens inside its blocks"):
        resolve_layer(tiny_model(name), "mid", stream="text")
    with pytest.raises(UsageError, match="no stream 'txt'"):
        resolve_layer(tiny_model(name), "mid", stream="txt")


def test_the_last_block_of_sd3_hands_no_text_on(tiny_model: Models) -> None:
    model = tiny_model("sd3")
    for name in ("late", "transformer.transformer_blocks.3.attn"):
        with pytest.raises(UsageError, match="hands no text on"):
            resolve_layer(model, name, stream="text")
    assert [layer.name for layer in list_layers(model, stream="text")] == ["early", "mid"]


def test_text_of_another_length_is_refused(tiny_model: Models) -> None:
    model = tiny_model("flux")
    layer = resolve_layer(model, "mid", stream="text")
    with pytest.raises(AutointerpError, match="16 tokens, not the 28"):
        captured_of(model, [layer], (0,), settings_of(model, max_sequence_length=16))
    assert hooks_on(model) == 0


def test_text_is_found_by_the_shapes_of_the_call() -> None:
    text, image = torch.randn(2, 5, 8), torch.randn(2, 12, 8)
    joint, both = torch.cat([text, image], 1), {"hidden_states": image, "encoder_hidden_states": text}
    before, after = FluxText().tokens({"hidden_states": joint}, joint + 1, 5, 12)  # single blocks until diffusers 0.34
    assert before is not None
    assert torch.equal(before, text)
    assert torch.equal(after, text + 1)
    before, after = FluxText().tokens(both, (text + 2, image), 5, 12)
    assert before is not None
    assert torch.equal(before, text)
    assert torch.equal(after, text + 2)
    changed = FluxText().put({}, joint, text + 3)
    assert torch.equal(changed[:, :5], text + 3)
    assert torch.equal(changed[:, 5:], image)
    before, after = SD3Text().tokens({**both, "temb": None}, (text + 1, image), 5, 0)
    assert before is not None
    assert torch.equal(before, text)
    assert torch.equal(after, text + 1)
    assert torch.equal(SD3Text().tokens(both, (image, text), 5, 0)[1], text)
    assert torch.equal(SD3Text().put(both, (image, text), text + 1)[1], text + 1)
    for output in ((image, text), joint, (None, image), (text, image, image)):
        with pytest.raises(AutointerpError, match="not known"):
            FluxText().tokens(both, output, 5, 12)
        with pytest.raises(AutointerpError, match="not known"):
            SD3Text().tokens({**both, "temb": None}, output, 5, 12)
