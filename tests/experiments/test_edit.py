"""`edit` on a tiny workspace: choices come from the cases for choosing, figures from the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp import Workspace
from autointerp.errors import UsageError
from autointerp.experiments import edit
from autointerp.experiments.edit import EditExperiment
from autointerp.experiments.running import run_experiment
from autointerp.project.context import Context

OPTIONS: dict[str, Any] = {
    "layers": ("mid",), "ways": ("patch", "means"), "dictionary": (), "cases": 9, "choose": 3, "features": 4,
}  # fmt: skip


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit, "SWEEP", (1, 4))


def experiment_of(workspace: Path, **options: Any) -> EditExperiment:
    return EditExperiment.plan(Context(Workspace(workspace)), {**OPTIONS, **options})


def made_up(experiment: EditExperiment, good: str) -> dict[str, Any]:
    """Results in which arms whose key starts so succeed, and all others fail."""
    results: dict[str, Any] = {}
    trials = None
    for unit in experiment.units():
        case = unit.about["case"]
        if case.key not in experiment.choosing:
            trials = trials or experiment._trials(results)
        arms = experiment.trial_arms() if trials is None else experiment.reported_arms(trials)
        keys = [*(arm.key for arm in arms), "none", "prompt"]
        results[unit.key] = {"shown": True, "verdicts": {key: [int(key.startswith(good)), 1.0, 1] for key in keys}}
    return results


def test_strengths_are_chosen_on_some_cases_and_reported_on_the_others(labeled: Path) -> None:
    experiment = experiment_of(labeled)
    assert experiment.ways == ["sae", "patch", "means"]
    results = made_up(experiment, "sae mid k4 x2")
    (sae, _patch, means) = (experiment._placed(way, experiment._trials(results)) for way in experiment.ways)
    assert [arm.strength for arm in sae] == [2.0]
    # Nothing succeeds, so the first strength stays.
    assert [arm.strength for arm in means] == [1.0]
    keys = [arm.key for arm in experiment.reported_arms(experiment._trials(results))]
    assert keys == ["sae mid k4 x2", "patch mid k0 x1", "means mid k0 x1", "random mid k4 x2", "sae mid k1 x2"]
    found = {(f.name, f.group, f.way): f for f in experiment.figures(results)}
    assert found["success", "all kinds", "sae"].value == 1.0
    assert found["success", "all kinds", "sae"].n == 6
    assert found["success", "all kinds", "random"].value == 0.0
    assert found["success by layer", "mid", "sae"].value == 1.0
    # Controls stand in each table of success.
    tables = {name for name, _, _ in found if name.startswith("success")}
    assert {"success", "success by layer", "success by layer: position", "success by features"} <= tables
    for name in tables:
        controls = {way for table, _, way in found if table == name and found[table, _, way].control}
        assert controls == ({"random"} if name == "success by features" else {"random", "none", "prompt"}), name
    assert found["success by features", "1 features", "sae"].value == 0.0
    assert found["area under the curve", "1 to 4 features", "sae"].value == pytest.approx(0.5)
    controls = {way for _, _, way in found if any(f.control for k, f in found.items() if k[2] == way)}
    assert controls == {"random", "none", "prompt"}
    assert len(experiment.plots(list(found.values()))) == 3


def test_a_stopped_run_ends_in_the_same_figures(
    workspace: Path, tmp_path: Path, databases: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = databases.copy(workspace, tmp_path / "other")
    few: dict[str, Any] = {"cases": 6, "choose": 2}
    whole = experiment_of(workspace, **few)
    figures = run_experiment(whole.ctx, whole).figures
    assert {f.way for f in figures} == {"sae", "patch", "means", "random", "none", "prompt"}
    prompt = next(f for f in figures if (f.name, f.group, f.way) == ("reached", "all kinds", "prompt"))
    none = next(f for f in figures if (f.name, f.group, f.way) == ("reached", "all kinds", "none"))
    assert none.value == 0.0
    assert prompt.value is not None
    assert prompt.value > 0.2
    stopped = experiment_of(other, **few)
    measure = stopped.measure

    def stopping(units: Any, bar: Any) -> Any:
        for number, found in enumerate(measure(units, bar)):
            if number == 3:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(stopped, "measure", stopping)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(stopped.ctx, stopped)
    again = experiment_of(other, **few)
    assert run_experiment(again.ctx, again).figures == figures


def test_the_plan_counts_every_picture(labeled: Path) -> None:
    experiment = experiment_of(labeled)
    units = experiment.units()
    # Three ways, two of two or three strengths, and both pictures of a case.
    strengths = sum(len(edit.WAYS[way].strengths) for way in experiment.ways)
    assert [unit.images for unit in units] == [2 + strengths] * 3 + [2 + 5] * 6
    cost = experiment.cost(units)
    assert cost.images == 3 * (2 + strengths) + 6 * 7
    assert cost.runs == 2 * cost.images


def test_bad_input(labeled: Path, cli: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="all 3 cases would serve for choosing: give more --cases"):
        experiment_of(labeled, cases=3)
    done = cli("-w", labeled, "experiment", "edit", "--layer", "early", "--dry-run")
    assert (done.code, done.out) == (1, "")
    assert "no SAE of early is here: run `autointerp fit --layer early` first" in done.err
    done = cli("-w", labeled, "experiment", "edit", "--way", "words", "--dry-run")
    assert done.code == 2
    done = cli("-w", labeled, "experiment", "edit", "--layer", "mid", "--dry-run")
    assert done.code == 0
    assert "itda is left out: run `autointerp fit --layer mid --kind itda` for it" in done.err
    assert done.out.startswith("experiment edit: ")
