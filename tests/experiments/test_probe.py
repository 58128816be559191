"""`probe`: balanced accuracies on pictures that no probe has seen, with equal budgets, beside controls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autointerp import Workspace
from autointerp.experiments import scene_readouts, subjects
from autointerp.experiments.probe import Probe, _Probe, _told
from autointerp.experiments.readouts import Moments
from autointerp.experiments.running import run_experiment
from autointerp.project.context import Context


def test_what_was_told_right_is_counted_by_picture_and_value() -> None:
    said = np.array([0, 1, 1, 0, 0, 1])
    values = np.array([0, 1, 0, -1, 1, 1])
    right, asked = _told(said, values, 2, 2)
    assert right.tolist() == [[1, 1], [0, 1]]
    assert asked.tolist() == [[2, 1], [0, 2]]


def test_a_frequent_value_is_not_said_for_being_frequent() -> None:
    draw = torch.Generator().manual_seed(0)
    rare = torch.rand(4000, generator=draw) < 0.1
    x = rare.float()[:, None] * 1.0 + torch.randn(4000, 1, generator=draw) * 0.5
    moments = Moments()
    moments.add(x, torch.stack([rare, ~rare], 1))
    prior = moments.target_means()
    assert prior == pytest.approx([float(rare.float().mean()), float((~rare).float().mean())], abs=1e-6)
    said = _Probe(moments.solve(0.01), prior).said(x)
    plain = moments.solve(0.01).scores(x).argmax(1).numpy()
    truth = np.where(rare.numpy(), 0, 1)
    right, asked = _told(said, truth, 2, 1)[:, 0]
    balanced = (right / asked).mean()
    right, asked = _told(plain, truth, 2, 1)[:, 0]
    assert balanced > (right / asked).mean() + 0.1
    assert balanced > 0.75


def test_probes_read_the_layer_and_not_the_noise(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_readouts, "FITTED", 24)
    monkeypatch.setattr(scene_readouts, "CHOSEN", 8)
    monkeypatch.setattr(subjects, "BATCH", 4)
    ctx = Context(Workspace(workspace))
    options = {"layers": ("mid",), "images": 8, "at": None, "steps": (0,)}
    outcome = run_experiment(ctx, Probe.plan(ctx, options))
    found = {(f.name, f.group, f.way): f for f in outcome.figures}
    raw = found["object, all inputs", "mid, step 0", "raw"]
    noise = found["object, all inputs", "input, step 0", "input"]
    assert raw.value > 0.85
    # The first step's input is noise alone: a probe of it can know no more than chance, up to sampling.
    assert noise.control
    assert 0.4 < noise.value < 0.6
    assert raw.n == noise.n == 8
    ways = {way for _, group, way in found if group.startswith("mid")}
    assert ways == {"raw", "codes", "neurons", "random", "labels", "shuffled labels"}
    names = list(dict.fromkeys(f.name for f in outcome.figures))
    assert names[0] == "object, all inputs"
    assert "color, best 8 inputs" in names
    assert names[-1] == "IoU of background, from labels alone"
    # Fewer inputs are a part of all of them: what they read is not the same.
    few = found["object, best 8 inputs", "mid, step 0", "raw"]
    assert few.value != raw.value
    again = run_experiment(ctx, Probe.plan(ctx, options))
    assert again.plan.is_done
    assert again.figures == outcome.figures


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (("--step", "2"), 2, "step 2 is not among the 2 steps: give numbers from 0 to 1"),
        (("--layer", "late"), 1, "layer late has no dictionary here: run `autointerp fit --layer late` first"),
        (("--at", "nothing"), 2, "write MODEL:STEPS"),
    ],
)
def test_what_cannot_be_is_said_first(labeled: Path, cli: Callable[..., Any], given: Any, code: int, says: str) -> None:
    done = cli("-w", labeled, "-q", "experiment", "probe", *given)
    assert done.code == code
    assert says in done.err
    assert done.err.count("\n") == 1
