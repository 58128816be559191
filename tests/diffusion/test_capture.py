"""What capture hands over, against hooks written by hand; and that nothing stays behind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from autointerp.diffusion.capture import Captured
from autointerp.diffusion.families import flux_image_tokens
from autointerp.diffusion.generation import GenerationSettings, ImageJob, generate
from autointerp.diffusion.layers import resolve_layer
from autointerp.errors import AutointerpError

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
    got: list[Captured] = []

    def keep(c: Captured) -> None:
        got.append(dataclasses.replace(c, acts=c.acts.clone()))

    settings = settings_of(model, **overrides)
    batches = list(generate(model, jobs, settings, layers, steps, keep, batch_size, decode))
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
        assert c.acts.dtype == torch.float32 and c.jobs == tuple(JOBS[:2])
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

    def fail(captured: Captured) -> None:
        raise KeyError("the consumer's own")

    with pytest.raises(KeyError, match="own"):
        list(generate(model, JOBS, settings_of(model), [layer], (0,), fail))
    assert hooks_on(model) == 0
    bf16 = dataclasses.replace(model, dtype=torch.bfloat16)
    running = generate(bf16, JOBS, settings_of(model), [layer], (0,), lambda c: None, batch_size=2)
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
        model, iter(JOBS), settings_of(model), [layer], (0, 2), lambda c: events.append(c.step), batch_size=3
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
    assert pictures == [] and calls == 4
    assert torch.equal(got[0].acts, full[0].acts)


def test_bfloat16_on_a_processor_hands_over_float32_near_the_exact_values(model) -> None:
    layer = resolve_layer(model, "mid")
    exact, _ = captured_of(model, JOBS[:2], [layer], (0,))
    rough, _ = captured_of(dataclasses.replace(model, dtype=torch.bfloat16), JOBS[:2], [layer], (0,))
    assert rough[0].acts.dtype == torch.float32
    assert not torch.equal(rough[0].acts, exact[0].acts)
    error = (rough[0].acts - exact[0].acts).norm() / exact[0].acts.norm()
    assert error < 0.05


def test_single_blocks_of_older_diffusers_are_split_by_their_own_shapes() -> None:
    text, image = torch.randn(2, 5, 8), torch.randn(2, 12, 8)
    joint = torch.cat([text, image], 1)
    before, after = flux_image_tokens({"hidden_states": joint, "temb": None}, joint + 1, 5, 12)
    assert torch.equal(before, image) and torch.equal(after, image + 1)
    inputs = {"hidden_states": image, "encoder_hidden_states": text}
    before, after = flux_image_tokens(inputs, (text, image + 2), 5, 12)
    assert torch.equal(before, image) and torch.equal(after, image + 2)


@pytest.mark.parametrize("swap", ["swapped", "joint without text", "three"])
def test_any_other_form_raises(swap: str) -> None:
    text, image = torch.randn(2, 5, 8), torch.randn(2, 12, 8)
    output = {"swapped": (image, text), "joint without text": image, "three": (text, image, image)}[swap]
    with pytest.raises(AutointerpError, match="not known"):
        flux_image_tokens({"hidden_states": image, "encoder_hidden_states": text}, output, 5, 12)


def test_a_wrong_width_a_wrong_step_count_and_nan_raise(model, monkeypatch) -> None:
    layer = resolve_layer(model, "mid")
    with pytest.raises(AutointerpError, match="shape"):
        list(generate(model, JOBS[:1], settings_of(model), [dataclasses.replace(layer, d_in=63)], (0,), print))
    assert hooks_on(model) == 0

    def mistaken(configs, guidance, count):
        return {"true_cfg_scale": 2.0, "negative_prompt": [""] * count}, 1

    family = dataclasses.replace(model.family, call=mistaken)
    wrong = dataclasses.replace(model, description=dataclasses.replace(model.description, family=family))
    with pytest.raises(AutointerpError, match="timestep|more often"):
        list(generate(wrong, JOBS[:1], settings_of(model), [layer], (0,), lambda c: None))
    bias = model.denoiser.x_embedder.bias
    kept = bias.detach().clone()
    bias.fill_(float("nan"))
    try:
        with pytest.raises(AutointerpError, match="no numbers"):
            list(generate(model, JOBS[:1], settings_of(model), [layer], (0,), lambda c: None))
    finally:
        bias.copy_(kept)


def test_bfloat16_steps_are_added_in_float32(model) -> None:
    given: list[torch.dtype] = []

    def note(module, args, kwargs) -> None:
        given.append(kwargs["hidden_states"].dtype)

    handle = model.denoiser.register_forward_pre_hook(note, with_kwargs=True)
    rough = dataclasses.replace(model, dtype=torch.bfloat16)
    list(generate(rough, JOBS[:1], settings_of(model, guidance=0.0)))
    handle.remove()
    assert given == [torch.float32] * 3
