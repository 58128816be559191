"""`intervene`: parts of the run, and what is measured in each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp import Workspace
from autointerp.errors import UsageError
from autointerp.experiments.intervene import THIRDS, InterveneExperiment, cases_of, parts_of
from autointerp.experiments.meanings import meanings_of
from autointerp.experiments.running import run_experiment
from autointerp.project.context import Context

OPTIONS: dict[str, Any] = {
    "layers": ("mid",), "dictionary": (), "kinds": ("color", "add"), "cases": 4, "features": 4, "strength": 2.0,
}  # fmt: skip


def test_thirds_part_the_run_and_each_step_is_alone() -> None:
    parts = parts_of(4)
    assert list(parts.items())[:4] == [
        ("all steps", (0, 1, 2, 3)), ("early third", (0,)), ("middle third", (1, 2)), ("late third", (3,)),
    ]  # fmt: skip
    assert list(parts.items())[4:] == [(f"step {step}", (step,)) for step in range(4)]
    twelve = parts_of(12)
    assert [len(twelve[name]) for name in ("early third", "middle third", "late third")] == [4, 4, 4]
    for steps in range(3, 30):
        thirds = [step for name in ("early third", "middle third", "late third") for step in parts_of(steps)[name]]
        assert thirds == list(range(steps))
    with pytest.raises(UsageError, match="2 steps have no thirds"):
        parts_of(2)


def test_cells_replaced_at_all_steps_reach_most_and_none_reaches_nothing(workspace: Path) -> None:
    ctx = Context(Workspace(workspace), steps=3, capture_steps=[1])
    experiment = InterveneExperiment.plan(ctx, {**OPTIONS, "cases": 2})
    assert [case.kind for case in experiment.cases] == ["color", "add"]
    outcome = run_experiment(ctx, experiment)
    found = {(f.name, f.group, f.way): f for f in outcome.figures}
    for kind in ("color", "add"):
        assert found[f"reached: {kind}", "all steps", "none"].value == 0.0
        assert found[f"kept: {kind}", "all steps", "none"].value == 1.0
        whole, part = (found[f"reached: {kind}", group, "patch"].value for group in ("all steps", "step 2"))
        assert whole is not None
        assert part is not None
        assert whole >= part
    ways = {way for _, _, way in found}
    assert ways == {"patch", "sae", "random", "none", "prompt"}
    plots = {plot.title: plot for plot in experiment.plots(outcome.figures)}
    assert list(plots) == [
        "cells replaced in a part of the run",
        "features added in a part of the run",
        "random directions added in a part of the run",
        "cells replaced at one step",
        "features added at one step",
    ]
    bars = plots["cells replaced in a part of the run"].lines
    assert [line.label for line in bars] == ["all kinds", "color", "add"]
    assert list(bars[1].x) == list(THIRDS)
    assert list(bars[1].values) == [found["reached: color", part, "patch"].value for part in THIRDS]
    steps = ("all steps", "early third", "middle third", "late third")
    kept = [figure for figure in outcome.figures if figure.group in steps]
    assert [plot.title for plot in experiment.plots(kept)] == list(plots)[:3]
    assert {word for word, _ in meanings_of("intervene", outcome.figures)} == {
        *ways,
        "success",
        "reached",
        "kept",
        "valid",
    }
    rows = experiment.pictures(outcome.results)
    assert all(len(row.panels) == 6 for row in rows)


def test_thirds_alone_are_another_experiment_with_fewer_arms(labeled: Path) -> None:
    ctx = Context(Workspace(labeled), steps=3, capture_steps=[1])
    every, thirds = (InterveneExperiment.plan(ctx, {**OPTIONS, "thirds": only}) for only in (False, True))
    assert list(thirds.parts) == ["all steps", "early third", "middle third", "late third"]
    assert len(every.arms()) - len(thirds.arms()) == 3 * 3
    assert "parts" not in every.configuration()
    assert thirds.configuration()["parts"] == list(thirds.parts)


def test_a_kind_of_edit_that_does_not_exist(labeled: Path) -> None:
    ctx = Context(Workspace(labeled), steps=3, capture_steps=[1])
    with pytest.raises(UsageError, match="no edits of the kind 'colour': kinds are color, shape"):
        InterveneExperiment.plan(ctx, {**OPTIONS, "kinds": ("colour",)})
    experiment = InterveneExperiment.plan(ctx, OPTIONS)
    assert len(cases_of(experiment.bench, ["size"], 5, 0)) == 5


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), 0.0, -2.0])
def test_a_strength_that_edits_cannot_have(labeled: Path, strength: float) -> None:
    ctx = Context(Workspace(labeled), steps=3, capture_steps=[1])
    with pytest.raises(UsageError, match=r"cannot have a strength of .*: give a number above 0, such as 2"):
        InterveneExperiment.plan(ctx, {**OPTIONS, "strength": strength})
