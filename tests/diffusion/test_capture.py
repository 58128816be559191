"""What capture hands over, against hooks written by hand; and that nothing stays behind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from autointerp.diffusion import calls, capture
from autointerp.diffusion.capture import Capture, LayerActivations
from autointerp.diffusion.families import PipelineCall
from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import GenerationSettings, ImageJob
from autointerp.diffusion.layers import resolve_layer
from autointerp.errors import AutointerpError
from tests.waits import waits

JOBS = [
    ImageJob(n, prompt, 100 + n)
    for n, prompt in enumerate(
        ["large red solid circle center", "small blue star", "green ring top left", "sky background", ""]
    )
]


LAYERS = ("early", "mid", "late")


def settings_of(model, **overrides) -> GenerationSettings:
    return GenerationSettings.resolve(model.defaults, overrides)


def hooks_on(model) -> int:
    modules = [m for c in model.pipeline.components.values() if isinstance(c, torch.nn.Module) for m in c.modules()]
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)


def captured_of(model, jobs, layers, steps, batch_size=2, decode=True, **overrides):
    got: list[LayerActivations] = []

    def keep(c: LayerActivations) -> None:
        got.append(dataclasses.replace(c, acts=c.acts.clone()))

    settings = settings_of(model, **overrides)
    batches = list(generate(model, jobs, settings, Capture(layers, steps, keep), batch_size, decode))
    return got, [picture for _, pictures in batches for picture in pictures]


@pytest.mark.parametrize("guidance", [0.0, 2.0])
@pytest.mark.parametrize("signal", ["output", "update"])
def test_captured_tensors_are_bit_for_bit_those_of_the_conditional_call(model, guidance, signal) -> None:
    """The pipeline runs by hand here; positive and negative call are told apart by their text."""
    layers = [resolve_layer(model, name, signal=signal) for name in LAYERS]
    got, _ = captured_of(model, JOBS[:2], layers, (0, 2), guidance=guidance)
    prompt_embeds = model.pipeline.encode_prompt(
        [j.prompt for j in JOBS[:2]], None, device="cpu", max_sequence_length=28
    )[0]
    seen: dict[str, list[torch.Tensor]] = {layer.hookpoint: [] for layer in layers}
    conditional = False

    def note_text(module, args, kwargs):
        nonlocal conditional
        conditional = torch.equal(kwargs["encoder_hidden_states"], prompt_embeds)

    def hook_of(hookpoint):
        def hook(module, args, kwargs, output):
            if conditional:
                image = output[1]
                seen[hookpoint].append(image - kwargs["hidden_states"] if signal == "update" else image.clone())

        return hook

    handles = [model.denoiser.register_forward_pre_hook(note_text, with_kwargs=True)]
    for layer in layers:
        block = model.module(layer.hookpoint)
        handles.append(block.register_forward_hook(hook_of(layer.hookpoint), with_kwargs=True))
    list(generate(model, JOBS[:2], settings_of(model, guidance=guidance)))
    for handle in handles:
        handle.remove()
    assert [(c.layer.hookpoint, c.step) for c in got] == [(lay.hookpoint, s) for s in (0, 2) for lay in layers]
    for c in got:
        assert len(seen[c.layer.hookpoint]) == 3
        assert torch.equal(c.acts, seen[c.layer.hookpoint][c.step])
        assert c.acts.dtype == torch.float32
        assert c.jobs == tuple(JOBS[:2])
        assert c.timestep == pytest.approx([1000.0, 2000 / 3, 1000 / 3][c.step])


def test_pictures_are_the_same_with_and_without_capture_and_no_hook_stays(model) -> None:
    layers = [resolve_layer(model, name) for name in LAYERS]
    assert hooks_on(model) == 0
    _, with_capture = captured_of(model, JOBS[:2], layers, (0, 1, 2))
    assert hooks_on(model) == 0
    _, without = captured_of(model, JOBS[:2], (), ())
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(with_capture, without, strict=True))


def test_hooks_are_gone_after_an_exception_and_while_a_batch_is_held(model) -> None:
    layer = resolve_layer(model, "mid")

    def fail(captured: LayerActivations) -> None:
        raise KeyError("the consumer's own")

    with pytest.raises(KeyError, match="own"):
        list(generate(model, JOBS, settings_of(model), Capture([layer], (0,), fail)))
    assert hooks_on(model) == 0
    bf16 = dataclasses.replace(model, dtype=torch.bfloat16)
    running = generate(bf16, JOBS, settings_of(model), Capture([layer], (0,), lambda c: None), batch_size=2)
    next(running)
    assert hooks_on(model) == 0


def test_an_image_does_not_depend_on_its_batch(model) -> None:
    layer = resolve_layer(model, "late")
    alone, alone_pictures = captured_of(model, JOBS, [layer], (1,), batch_size=1)
    together, together_pictures = captured_of(model, JOBS, [layer], (1,), batch_size=5)
    one = torch.cat([c.acts for c in alone])
    five = torch.cat([c.acts for c in together])
    assert torch.allclose(one, five, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(five[0], five[1], rtol=1e-1, atol=1e-1)
    for a, b in zip(alone_pictures, together_pictures, strict=True):
        assert np.abs(np.asarray(a).astype(int) - np.asarray(b)).max() <= 2
    other_seed, _ = captured_of(model, [dataclasses.replace(JOBS[0], seed=1)], [layer], (1,))
    assert not torch.allclose(other_seed[0].acts[0], one[0], atol=1e-1)
    other_text, _ = captured_of(model, [dataclasses.replace(JOBS[0], prompt="night background")], [layer], (1,))
    assert not torch.allclose(other_text[0].acts[0], one[0], atol=1e-3)


def test_a_batch_is_consumed_before_it_is_yielded(model) -> None:
    layer = resolve_layer(model, "mid")
    events: list[object] = []
    for batch, pictures in generate(
        model, iter(JOBS), settings_of(model), Capture([layer], (0, 2), lambda c: events.append(c.step)), batch_size=3
    ):
        events.append([job.index for job in batch])
        assert [p.size for p in pictures] == [(96, 96)] * len(batch)
    assert events == [0, 2, [0, 1, 2], 0, 2, [3, 4]]


def test_without_pictures_a_batch_ends_after_its_last_wanted_step(model) -> None:
    layer = resolve_layer(model, "mid")
    calls = 0

    def count(*_) -> None:
        nonlocal calls
        calls += 1

    handle = model.denoiser.register_forward_pre_hook(count)
    got, pictures = captured_of(model, JOBS[:1], [layer], (1,), decode=False)
    handle.remove()
    full, _ = captured_of(model, JOBS[:1], [layer], (1,))
    assert pictures == []
    assert calls == 4
    assert torch.equal(got[0].acts, full[0].acts)


def test_bfloat16_on_a_processor_hands_over_float32_near_the_exact_values(model) -> None:
    layer = resolve_layer(model, "mid")
    exact, _ = captured_of(model, JOBS[:2], [layer], (0,))
    rough, _ = captured_of(dataclasses.replace(model, dtype=torch.bfloat16), JOBS[:2], [layer], (0,))
    assert rough[0].acts.dtype == torch.float32
    assert not torch.equal(rough[0].acts, exact[0].acts)
    error = (rough[0].acts - exact[0].acts).norm() / exact[0].acts.norm()
    assert error < 0.05


def test_a_wrong_width_a_wrong_step_count_and_nan_raise(model, monkeypatch) -> None:
    layer = resolve_layer(model, "mid")
    with pytest.raises(AutointerpError, match="shape"):
        list(generate(model, JOBS[:1], settings_of(model), Capture([dataclasses.replace(layer, d_in=63)], (0,), print)))
    assert hooks_on(model) == 0

    def mistaken(configs, guidance, count):
        return PipelineCall({"true_cfg_scale": 2.0, "negative_prompt": [""] * count}, 1)

    family = type("Mistaken", (type(model.family),), {"call": staticmethod(mistaken)})()
    wrong = dataclasses.replace(model, description=dataclasses.replace(model.description, family=family))
    with pytest.raises(AutointerpError, match="timestep|more often"):
        list(generate(wrong, JOBS[:1], settings_of(model), Capture([layer], (0,), lambda c: None)))
    bias = model.denoiser.x_embedder.bias
    kept = bias.detach().clone()
    bias.fill_(float("nan"))
    try:
        with pytest.raises(AutointerpError, match="not finite"):
            list(generate(model, JOBS[:1], settings_of(model), Capture([layer], (0,), lambda c: None)))
    finally:
        bias.copy_(kept)


def test_what_an_accelerator_is_not_asked_at_once_still_stops_the_run(model, monkeypatch) -> None:
    """A processor is told to do as an accelerator has to: checks come at the end of a pass, before it is yielded."""
    for module in (calls, capture):
        monkeypatch.setattr(module, "reads_freely", lambda _tensor: False)
    layer = resolve_layer(model, "mid")
    with waits() as found:
        got, _ = captured_of(model, JOBS[:2], [layer], (0, 2), decode=False)
    ours = {line: n for line, n in found.items() if line.startswith(("calls", "capture", "finite"))}
    assert not ours
    monkeypatch.undo()
    asked, _ = captured_of(model, JOBS[:2], [layer], (0, 2), decode=False)
    for one, other in zip(got, asked, strict=True):
        assert torch.equal(one.acts, other.acts)
    for module in (calls, capture):
        monkeypatch.setattr(module, "reads_freely", lambda _tensor: False)
    seen: list[int] = []

    def refuse(captured: LayerActivations) -> None:
        seen.append(captured.step)
        if not captured.acts.isfinite().all():
            raise ValueError("no numbers")

    bias = model.denoiser.x_embedder.bias
    kept = bias.detach().clone()
    bias.fill_(float("nan"))
    try:
        for consumer, steps in ((refuse, [0]), (lambda c: seen.append(c.step), [0, 1])):
            seen.clear()
            with pytest.raises(AutointerpError, match="not finite at step 0"):
                list(generate(model, JOBS[:1], settings_of(model), Capture([layer], (0, 1), consumer), decode=False))
            assert seen == steps
    finally:
        bias.copy_(kept)
    expected = calls.Calls._compare
    monkeypatch.setattr(calls.Calls, "_compare", lambda self, run, value: expected(self, run, value * 1.5))
    with pytest.raises(AutointerpError, match="call 0 of the denoiser ran at timestep"):
        list(generate(model, JOBS[:1], settings_of(model), Capture([layer], (0,), lambda c: None), decode=False))
    assert hooks_on(model) == 0
