"""`emergence`: IoU with the finished picture, measured on pictures that no readout and no threshold has seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp import Workspace
from autointerp.experiments import scene_readouts, subjects
from autointerp.experiments.emergence import Emergence
from autointerp.experiments.running import run_experiment
from autointerp.project.context import Context

OPTIONS = {"layers": (), "images": 8, "at": None}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_readouts, "FITTED", 16)
    monkeypatch.setattr(scene_readouts, "CHOSEN", 8)
    monkeypatch.setattr(subjects, "BATCH", 4)


def test_figures_controls_and_going_on(workspace: Path, tmp_path: Path, databases: Any) -> None:
    other = databases.copy(workspace, tmp_path / "other")
    ctx = Context(Workspace(workspace))
    experiment = Emergence.plan(ctx, OPTIONS)
    outcome = run_experiment(ctx, experiment)
    found = {(f.name, f.group, f.way): f for f in outcome.figures}
    raw = found["IoU of object", "mid, step 1", "raw"]
    places = found["IoU of object", "input, step 1", "places"]
    assert places.control
    assert not raw.control
    assert raw.n == 8
    # The layer knows where the objects are, and the guess from places does not.
    assert raw.value > 0.6 > places.value > 0.1
    assert raw.low <= raw.value <= raw.high
    assert {f.way for f in outcome.figures if f.control} == {"random", "shuffled labels", "places", "input"}
    # The guess by hand: thresholded means of the truth, at the same pictures.
    _, mean = experiment._fit()
    batches = list(experiment.measured(0, 8))
    truth = np.concatenate([experiment._truths(batch)[12, 12][:, 0] for batch in batches])
    best = max(
        (truth & said).sum() / (truth | said).sum()
        for at in np.unique(mean[:, 0])
        for said in [np.tile(mean[:, 0] >= at, 8)]
    )
    assert places.value <= best + 1e-9

    again = Emergence.plan(Context(Workspace(other)), OPTIONS)
    measure = again.measure

    def stopping(units: Any, bar: Any) -> Any:
        yield next(iter(measure(units, bar)))
        raise KeyboardInterrupt

    again.measure = stopping  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run_experiment(again.ctx, again)
    resumed = run_experiment(again.ctx, Emergence.plan(again.ctx, OPTIONS))
    assert len(resumed.plan.missing) == 1
    for one, same in zip(outcome.figures, resumed.figures, strict=True):
        assert (one.name, one.group, one.way, one.n) == (same.name, same.group, same.way, same.n)
        assert same.value == pytest.approx(one.value, abs=0.02)


def test_the_report_shows_maps_and_a_line_a_layer(
    workspace: Path, cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How well they read does not matter here.
    monkeypatch.setattr(scene_readouts, "FITTED", 4)
    monkeypatch.setattr(scene_readouts, "CHOSEN", 4)
    done = cli("-w", workspace, "-q", "experiment", "emergence", "--images", 4, "--json", "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["configuration"]["dictionaries"].keys() == {"mid"}
    assert Path(found["report"]).read_text(encoding="utf-8").count("finished") >= 4
    assert Path(found["plot"]).is_file()


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (("--at", "shapes"), 2, "write MODEL:STEPS"),
        (("--layer", "late"), 1, "layer late has no dictionary here"),
        (("--layer", "nowhere"), 2, "nowhere"),
    ],
)
def test_what_cannot_be_is_said_first(labeled: Path, cli: Callable[..., Any], given: Any, code: int, says: str) -> None:
    done = cli("-w", labeled, "-q", "experiment", "emergence", *given)
    assert done.code == code
    assert says in done.err
    assert done.err.count("\n") == 1
