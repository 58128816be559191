"""`models`: what it finds is what one would count by hand, and nothing depends on batches, stops or order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp import Workspace
from autointerp.errors import UsageError
from autointerp.experiments import subjects
from autointerp.experiments.models import CHANGES, ModelsExperiment
from autointerp.experiments.packing import pack, unpack
from autointerp.experiments.running import run_experiment
from autointerp.experiments.subjects import captured, loaded, pictures_of, stored_dictionary
from autointerp.project.context import Context

NAME = "shapes-turbo.mid.topk"
OPTIONS = {"dictionary": NAME, "model": "shapes", "revision": None, "loading": (), "steps": None, "images": 10}


def figures_of(workspace: Path, **settings: Any) -> list[dict[str, Any]]:
    ctx = Context(Workspace(workspace), **settings)
    return [figure.as_dict() for figure in run_experiment(ctx, ModelsExperiment.plan(ctx, OPTIONS)).figures]


def test_neither_batches_nor_a_stop_change_a_result(
    workspace: Path, tmp_path: Path, databases: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subjects, "BATCH", 4)
    other = databases.copy(workspace, tmp_path / "other")
    ctx = Context(Workspace(workspace))
    experiment = ModelsExperiment.plan(ctx, OPTIONS)
    whole = run_experiment(ctx, experiment)
    again = Context(Workspace(other), batch_size=3)
    stopped = ModelsExperiment.plan(again, OPTIONS)
    measure = stopped.measure

    def stopping(units: Any, bar: Any) -> Any:
        for number, found in enumerate(measure(units, bar)):
            if number == 4:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(stopped, "measure", stopping)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(again, stopped)
    resumed = run_experiment(again, ModelsExperiment.plan(again, OPTIONS))
    assert whole.results.keys() == resumed.results.keys()
    assert len(whole.results) == 6
    for key, result in whole.results.items():
        here, there = (unpack(part["fired"]) for part in (result, resumed.results[key]))
        # Other batches differ by rounding, by which a near tie may fall the other way.
        assert np.abs(here - there).sum() <= 0.01 * here.sum()

    # Of one picture and each model, by hand: the cells in which each feature fires.
    row = stored_dictionary(ctx, "mid", None)
    dictionary = loaded(ctx, row, "cpu")
    for side in experiment.sides:
        fired = np.zeros(row.num_latents, int)

        def count(read: Any, fired: np.ndarray = fired) -> None:
            code = dictionary.encode(read.acts[0], 1)
            np.add.at(fired, code.latent_indices.numpy().ravel(), (code.latent_acts > 0).numpy().ravel())

        for _ in captured(side.ctx, pictures_of(ctx, 10)[:4], [side.layer], [1], count, decode=False):
            pass
        assert (unpack(whole.results[f"{side.name}, pictures 0:4"]["fired"])[0] == fired).all()
    assert {figure.name for figure in whole.figures} >= {"fvu", "l0", "features that differ"}


@pytest.fixture
def made_up(labeled: Path) -> tuple[ModelsExperiment, dict[str, Mapping[str, Any]]]:
    """Results of 40 pictures: feature 0 fires more, 1 less, 2 newly, 3 no more, 4 as before."""
    ctx = Context(Workspace(labeled))
    experiment = ModelsExperiment.plan(ctx, {**OPTIONS, "images": 40})
    rng = np.random.default_rng(0)
    results: dict[str, Mapping[str, Any]] = {}
    for unit in experiment.units():
        count, other = unit.images, unit.about["side"]
        fired = rng.poisson(3, (count, 64))
        fired[:, 5:] = 0
        fired[:, 0] += 6 * other
        fired[:, 1] += 6 * (1 - other)
        fired[:, 2] *= other
        fired[:, 3] *= 1 - other
        results[unit.key] = {
            "cells": [144] * count,
            "error": [1.0] * count,
            "square": [2.0 + other] * count,
            "total": pack(np.zeros(3)),
            "fired": pack(fired.astype(np.int32)),
        }
    return experiment, results


def test_each_change_is_told(made_up: tuple[ModelsExperiment, dict[str, Mapping[str, Any]]]) -> None:
    experiment, results = made_up
    figures = experiment.figures(results)
    at = {(figure.name, figure.group, figure.way): figure for figure in figures}
    assert {change: at["features that differ", change, "found"].value for change in CHANGES} == dict.fromkeys(
        CHANGES, 1.0
    )
    for latent, change in enumerate(CHANGES):
        name, group = f"percent of cells where it fires: {change}", f"{NAME}:{latent}"
        first, second, difference = (at[name, group, way] for way in ("shapes-turbo", "shapes", "difference"))
        assert difference.value == pytest.approx((second.value or 0) - (first.value or 0))
        assert first.n == 40
        assert at[name, group, "chance"].value == pytest.approx(1 / 1001)
        assert (difference.low or 0) * (difference.high or 0) > 0
    assert at["fvu", "all cells", "shapes-turbo"].value == 0.5
    assert at["fvu", "all cells", "shapes"].value == pytest.approx(1 / 3)
    # Swapped pictures show next to nothing: the control of the features that differ each by itself.
    found, swapped = (at["features that differ, each by itself", "more", way] for way in ("found", "pictures swapped"))
    assert swapped.control
    assert (swapped.value or 0) < 0.5 < (found.value or 0)
    drawn = experiment.plots(figures)
    assert [plot.title for plot in drawn][1:] == [f"percent of cells where it fires: {change}" for change in CHANGES]


def test_pictures_stand_side_by_side(made_up: tuple[ModelsExperiment, dict[str, Mapping[str, Any]]]) -> None:
    experiment, results = made_up
    rows = experiment.pictures(results)
    assert [row.line.split(". ")[0] for row in rows] == [f"{c}: {NAME}:{n}" for n, c in enumerate(CHANGES)]
    for row in rows:
        assert [panel.caption.partition(":")[0] for panel in row.panels] == ["shapes-turbo", "shapes"]
        first, second = (np.asarray(panel.picture) for panel in row.panels)
        assert (first != second).any()
    # Where nothing differs, a few pairs show both models.
    same = {key: {**result, "fired": pack(np.ones((40, 64), np.int32))} for key, result in results.items()}
    rows = experiment.pictures(same)
    assert [panel.caption for panel in rows[0].panels] == ["shapes-turbo", "shapes"]
    assert rows[0].line == pictures_of(experiment.ctx, 1)[0].prompt


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"images": 7}, "compare at least 8"),
        ({"dictionary": "nope"}, "there is no dictionary 'nope'"),
        ({"model": None}, "nothing differs"),
    ],
)
def test_what_cannot_be_compared_is_a_line(labeled: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ModelsExperiment.plan(Context(Workspace(labeled)), {**OPTIONS, **options})
