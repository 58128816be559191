"""What is read beside a layer: of the same call, of the same cells, and leaving the model as it was."""

from __future__ import annotations

import copy

import pytest
import torch

from autointerp.diffusion.capture import Capture, LayerActivations
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import GenerationSettings, ImageJob
from autointerp.diffusion.layers import resolve_layer
from autointerp.diffusion.shadow import LatestCall, ShadowLayer, noting_calls, rerandomised
from autointerp.errors import AutointerpError
from tests.diffusion.helpers import Models

JOBS = [ImageJob(n, prompt, 100 + n) for n, prompt in enumerate(["large red circle", "small blue star", ""])]


@pytest.mark.parametrize("signal", ["output", "update"])
@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_a_twin_of_the_same_weights_reads_the_same_bits(model, signal: str, guidance: float) -> None:
    layer = resolve_layer(model, "mid", signal=signal)
    twin = ShadowLayer(model, copy.deepcopy(model.denoiser), layer)
    other = ShadowLayer(model, rerandomised(model.denoiser, 0), layer)
    seen = 0

    def compare(captured: LayerActivations) -> None:
        nonlocal seen
        count = len(captured.jobs)
        assert torch.equal(twin.read(call, count), captured.acts)
        strange = other.read(call, count)
        assert strange.shape == captured.acts.shape
        assert not torch.allclose(strange, captured.acts, atol=1e-2)
        raw = call.raw(count, captured.grid)
        assert raw.shape[:2] == captured.acts.shape[:2]
        seen += count

    settings = GenerationSettings.resolve(model.defaults, {"guidance": guidance})
    hooks = len(model.denoiser._forward_pre_hooks)
    with noting_calls(model) as call:
        list(generate(model, JOBS, settings, Capture([layer], (0, 2), compare), 2, decode=False))
    assert seen == 2 * len(JOBS)
    assert len(model.denoiser._forward_pre_hooks) == hooks


def test_new_weights_keep_scale_and_nothing_else(model) -> None:
    one, same, other = (dict(rerandomised(model.denoiser, seed).named_parameters()) for seed in (3, 3, 4))
    for name, old in model.denoiser.named_parameters():
        assert torch.equal(one[name], same[name])
        if old.numel() > 1000 and float(old.std()) > 0:
            assert not torch.equal(one[name], other[name])
            assert float(one[name].std()) == pytest.approx(float(old.std()), rel=0.1)
            assert abs(float(torch.corrcoef(torch.stack([old.flatten(), one[name].flatten()]))[0, 1])) < 0.1


def test_latents_are_folded_into_the_cells_they_lie_under(tiny_model: Models) -> None:
    call = LatestCall(tiny_model("sd"))
    image = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    call.inputs = {"sample": image}
    raw = call.raw(1, (2, 2))
    assert raw.shape == (1, 4, 12)
    assert torch.equal(raw[0, 3], image[1, :, 2:, 2:].flatten())
    with pytest.raises(AutointerpError, match="do not fit 3 x 3 cells"):
        call.raw(1, (3, 3))
    call = LatestCall(tiny_model("flux"))
    call.inputs = {"hidden_states": torch.zeros(2, 5, 3)}
    with pytest.raises(AutointerpError, match="5 tokens"):
        call.raw(2, (2, 2))
