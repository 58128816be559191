"""`erase`: what is gone, what is kept, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp import Workspace
from autointerp.errors import UsageError
from autointerp.experiments import concepts, erase, erasing
from autointerp.experiments.concepts import ReadPicture
from autointerp.experiments.erase import EraseExperiment, EraseRequest
from autointerp.experiments.meanings import meanings_of
from autointerp.experiments.running import run_experiment
from autointerp.experiments.subjects import NamedFeature
from autointerp.project.context import Context
from autointerp.worlds import SceneFacts


def experiment_of(
    workspace: Path, *words: str, settings: dict[str, Any] | None = None, **request: Any
) -> EraseExperiment:
    given = {"pictures": 2, "features": 6, **request}
    return EraseExperiment(Context(Workspace(workspace), **(settings or {})), EraseRequest(words, "mid", **given))


def facts(**cells: Any) -> SceneFacts:
    """A scene of 12 x 12 cells: nothing but what is given, as (value, number of cells) from the first cell on."""
    found = {name: np.full((12, 12), -1, np.int64) for name in (*concepts.ERASABLE, "size", "part")}
    for name, runs in cells.items():
        flat, at = found[name].reshape(-1), 0
        for value, count in runs:
            flat[at : at + count] = value
            at += count
    return SceneFacts(found, (), None, True)


def read(one: SceneFacts) -> ReadPicture:
    return ReadPicture(Image.new("RGB", (96, 96)), one)


def test_counts_compare_cells_with_those_of_no_edit(labeled: Path) -> None:
    known = experiment_of(labeled, "red").concepts
    before = facts(color=[(0, 10), (3, 5)], shape=[(1, 15)])
    after = facts(color=[(0, 2), (5, 8), (3, 4), (1, 1)], shape=[(1, 12), (2, 3)])
    ((one,), (same,), (bare,)) = (
        known.counted("red", [read(a)], [read(b)]) for a, b in ((before, after), (before, before), (after, before))
    )
    assert (one.had, one.gone) == (1, 1)  # Two cells are fewer than a concept needs.
    assert (one.same_attribute, one.attribute) == (4, 5)
    assert (one.same_others, one.others) == (12, 15)
    assert (same.had, same.gone, same.same_others) == (1, 0, 15)
    assert (bare.had, bare.gone) == (0, 0)


def test_stages_share_no_picture_and_half_of_them_say_the_word(labeled: Path) -> None:
    experiment = experiment_of(labeled, "red", pictures=5)
    choose, report = (experiment._jobs("red", stage) for stage in ("choose", "report"))
    assert [("red" in job.prompt.replace(",", "").split()) for job in choose] == [True] * 3 + [False] * 3
    assert [("red" in job.prompt.replace(",", "").split()) for job in report] == [True] * 5 + [False] * 5
    assert not {job.seed for job in choose} & {job.seed for job in report}
    units = experiment.units()
    assert [(unit.key, unit.images) for unit in units] == [("choose red", 6 * 11), ("report red", 10 * 6)]


def test_a_run_ends_in_the_measures_of_every_way(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (erase, erasing):
        monkeypatch.setattr(module, "REFERENCE", 24)
    monkeypatch.setattr(erase, "CHOSEN_ON", 1)
    monkeypatch.setattr(erase, "STRENGTHS", (1.0, 2.0))
    experiment = experiment_of(workspace, "solid", "red", pictures=1)
    outcome = run_experiment(experiment.ctx, experiment)
    found = {(f.name, f.group, f.way): f for f in outcome.figures}
    assert {way for name, _, way in found if name == "gone"} == {"sae", "means", "neurons", "random", "none", "prompt"}
    assert found["gone", "all concepts", "none"].value == 0.0
    assert found["kept elsewhere", "solid", "none"].value == 1.0
    assert found["strength", "all concepts", "sae"].value in erase.STRENGTHS
    assert found["valid", "all concepts", "means"].n == 4
    # Of each word a picture with it and one without, at both strengths; random directions are as strong as the SAE.
    by_strength = {key: f.n for key, f in found.items() if key[0] == "valid by strength"}
    assert by_strength == {("valid by strength", s, w): 4 for s in ("1", "2") for w in ("sae", "means", "neurons")}
    sums = {
        s: sum(found[f"{name} by strength", s, "sae"].value or 0.0 for name in erase.MEASURES if name != "valid")
        for s in ("1", "2")
    }
    assert float(max(sums, key=sums.__getitem__)) == found["strength", "all concepts", "sae"].value
    assert found["gone", "all concepts", "random"].control
    words = {word for word, _ in meanings_of("erase", outcome.figures)}
    assert words == {*erase.MEASURES, "strength", *(f.way for f in outcome.figures)}
    assert [plot.title for plot in experiment.plots(outcome.figures)] == [
        *erase.MEASURES,
        *(f"{name} by strength" for name in erase.MEASURES),
    ]
    assert all(len(row.panels) == 6 for row in experiment.pictures(outcome.results))


def test_search_and_the_negative_prompt_stand_beside_contrast(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (erase, erasing):
        monkeypatch.setattr(module, "REFERENCE", 24)
    monkeypatch.setattr(erase, "CHOSEN_ON", 1)
    monkeypatch.setattr(erase, "STRENGTHS", (1.0,))
    monkeypatch.setattr(
        erase, "named_features", lambda ctx, row: [NamedFeature(n, "solid star", 1.0) for n in range(9)]
    )
    experiment = experiment_of(workspace, "solid", settings={"guidance": 2.0}, pictures=1, by="search")
    found = {(f.name, f.group, f.way): f for f in run_experiment(experiment.ctx, experiment).figures}
    ways = {way: f.control for (name, _, way), f in found.items() if name == "gone"}
    assert ways == {
        "sae": False, "sae by search": False, "means": False, "neurons": False,
        "random": True, "none": True, "prompt": True, "negative prompt": True,
    }  # fmt: skip


def test_bad_input(labeled: Path, cli: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="no concept 'redd' to erase"):
        experiment_of(labeled, "redd")
    done = cli("-w", labeled, "experiment", "erase", "red", "--layer", "early", "--dry-run")
    assert (done.code, done.out) == (1, "")
    assert "no SAE of early is here: run `autointerp fit --layer early` first" in done.err
    done = cli("-w", labeled, "experiment", "erase", "--layer", "mid", "--by", "search", "--dry-run")
    assert done.code == 1
    assert "no feature of shapes-turbo.mid.topk is named" in done.err
    done = cli("-w", labeled, "experiment", "erase", "--layer", "mid", "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("experiment erase: ")
