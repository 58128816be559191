"""shapes-turbo learns, from pairs of training captions alone, and a stopped training ends in the same weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel

from training.shapes.__main__ import WEIGHTS
from training.shapes.loop import train
from training.shapes.measure import Sampling, generate
from training.shapes.turbo import AT_NOISE, DEFAULTS, ON_LINE, TurboSettings, TurboTrainer, pseudo_huber
from training.shapes.turbo_measure import load_turbo
from training.shapes.turbo_pairs import (
    PAIRS,
    turbo_noise,
)


def tiny() -> FluxTransformer2DModel:
    torch.manual_seed(0)
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=24,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=12,
        num_attention_heads=2,
        joint_attention_dim=128,
        pooled_projection_dim=128,
        guidance_embeds=False,
        axes_dims_rope=(4, 4, 4),
    )


def trainer(pairs, shared, steps=6, **settings) -> TurboTrainer:
    return TurboTrainer(pairs, shared, tiny(), TurboSettings(steps=steps, warm=2, **settings), compiled=False)


def test_every_pair_is_drawn_once_before_any_twice(pairs, shared):
    one = trainer(pairs, shared)
    count = AT_NOISE + len(ON_LINE)
    rows = np.concatenate([one.draw(n) for n in range(40)])
    assert len(rows) == 40 * count
    for epoch in range(len(rows) // len(pairs)):
        assert sorted(rows[epoch * len(pairs) : (epoch + 1) * len(pairs)]) == list(range(len(pairs)))
    assert not np.array_equal(rows[:40], rows[40:80])


def test_training_lowers_the_loss_of_a_batch(pairs, shared):
    one = trainer(pairs, shared, steps=12, muon_rate=1e-2, rate=1e-2)
    rows = np.arange(AT_NOISE + len(ON_LINE))
    with torch.no_grad():
        before = [float(part) for part in one.loss(rows)]
    one.draw = lambda index: rows
    for index in range(one.steps):
        one.step(index)
    with torch.no_grad():
        after = [float(part) for part in one.loss(rows)]
    assert all(b < 0.97 * a for a, b in zip(before, after, strict=True)), (before, after)


def test_the_way_of_a_perfect_model_costs_nothing(pairs, shared, monkeypatch):
    """A model that always says noise minus latent has no loss, at t = 1, on the line and after its own half step."""
    one = trainer(pairs, shared)
    rows = np.arange(AT_NOISE + len(ON_LINE))
    noise = turbo_noise(PAIRS, 0, pairs.indices[torch.from_numpy(rows)].tolist())
    way = noise - pairs.latents[: len(rows)]
    replies = iter([way[:AT_NOISE], torch.cat([way[:6], way[AT_NOISE:]])])
    monkeypatch.setattr("training.shapes.turbo.velocity", lambda *_: next(replies))
    first, later = one.loss(rows)
    assert first == 0
    assert later < 1e-9


def test_pseudo_huber_is_squared_near_and_absolute_far():
    near, far = torch.tensor([1e-2]), torch.tensor([100.0])
    assert pseudo_huber(near, 0.3) == pytest.approx(1e-4 / 0.6, rel=1e-2)
    assert pseudo_huber(far, 0.3) == pytest.approx(99.7, rel=1e-4)


def test_resumed_equals_uninterrupted(pairs, shared, tmp_path):
    whole = trainer(pairs, shared)
    train(whole, tmp_path / "whole", every=2)
    stopped = trainer(pairs, shared)
    step = stopped.step

    def stop_at_three(index: int) -> str:
        if index == 3:
            raise KeyboardInterrupt
        return step(index)

    stopped.step = stop_at_three
    with pytest.raises(KeyboardInterrupt):
        train(stopped, tmp_path / "stopped", every=2)
    resumed = trainer(pairs, shared)
    train(resumed, tmp_path / "stopped", every=2)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    before = tiny().state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in whole.model.state_dict().items())


def test_saved_weights_load_as_a_pipeline_with_the_parts_of_shapes(pairs, shared, tmp_path):
    one = trainer(pairs, shared, steps=2)
    one.model.register_to_config(_name_or_path="somewhere/model")
    train(one, tmp_path / "run")
    live = {name: value.clone() for name, value in one.model.state_dict().items()}
    one.save(tmp_path / "turbo")
    assert all(torch.equal(value, live[name]) for name, value in one.model.state_dict().items())
    found = sorted(str(p.relative_to(tmp_path / "turbo")) for p in (tmp_path / "turbo").rglob("*") if p.is_file())
    assert found == [
        "autointerp.json",
        "model_index.json",
        "scheduler/scheduler_config.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
    ]
    assert json.loads((tmp_path / "turbo" / "autointerp.json").read_text()) == DEFAULTS
    assert "_name_or_path" not in (tmp_path / "turbo" / "transformer" / "config.json").read_text()
    pipeline = load_turbo(WEIGHTS / "model", tmp_path / "turbo")
    one.average.swap()
    for name, value in pipeline.transformer.state_dict().items():
        assert torch.equal(value, one.model.state_dict()[name].half().float()), name
    pictures = generate(pipeline, ["small red solid circle center, sky background"] * 2, Sampling(1, 1.0))
    assert pictures.shape == (2, 96, 96, 3)
