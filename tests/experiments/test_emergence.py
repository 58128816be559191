"""`emergence`: IoU with the finished picture, measured on pictures that no readout and no threshold has seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp import Workspace
from autointerp.diffusion.word_maps import WordMaps
from autointerp.diffusion.words import Word
from autointerp.experiments import scene_readouts, subjects
from autointerp.experiments.emergence import Emergence
from autointerp.experiments.running import run_experiment
from autointerp.experiments.scene_batches import truth_of
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
    controls = {"random", "shuffled labels", "places", "prompt words", "input"}
    assert {f.way for f in outcome.figures if f.control} == controls
    # The model attends to a colour where it paints it; that a prompt says the colour does not tell where.
    words, said = found["IoU of color", "mid, step 1", "words"], found["IoU of color", "input, step 1", "prompt words"]
    assert not words.control
    assert words.low > said.high
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


def test_word_maps_that_are_the_truth_read_it_perfectly(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = Context(Workspace(workspace))
    experiment = Emergence.plan(ctx, OPTIONS)
    assert experiment.words is not None
    word = Word(experiment.words.vocabulary[0], 0, 1)
    generated = scene_readouts.scene_batches

    def by_hand(at: Any, reader: Any, *given: Any, **how: Any) -> Iterator[Any]:
        """The first step gets the truth of each picture, and the second that of its neighbour."""
        for batch in generated(at, reader, *given, **how):
            truth = truth_of(reader, batch.facts, (12, 12))["object"].reshape(-1, 1, 12, 12) == 0
            maps = [truth, np.roll(truth, 1, axis=0)]
            found = {
                (layer, step): [WordMaps((word,), one.astype(np.float32)) for one in maps[step]]
                for layer, step in batch.words
            }
            yield replace(batch, words=found)

    monkeypatch.setattr(scene_readouts, "scene_batches", by_hand)
    figures = run_experiment(ctx, experiment).figures
    found = {(f.name, f.group, f.way): f for f in figures}
    assert found["IoU of object", "mid, step 0", "words"].value == 1.0
    assert found["IoU of object", "mid, step 1", "words"].value < 0.8
    assert found["IoU of object", "input, step 0", "prompt words"].value < 0.8


def test_a_family_without_word_maps_says_so_once_and_leaves_them_out(
    workspace: Path, cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_readouts, "FITTED", 4)
    monkeypatch.setattr(scene_readouts, "CHOSEN", 4)
    with_words = Emergence.plan(Context(Workspace(workspace)), OPTIONS)
    monkeypatch.setattr(type(with_words.at.description.family), "word_attention", None)
    done = cli("-w", workspace, "experiment", "emergence", "--images", 4, "--json", "-o", tmp_path / "out")
    assert done.code == 0
    assert done.err.count("words is left out: it is not known where FluxPipeline") == 1
    found = json.loads(done.out)
    assert {figure["way"] for figure in found["figures"]}.isdisjoint({"words", "prompt words"})
    assert "raw" in {figure["way"] for figure in found["figures"]}
    # Once its maps are known, such a family is measured anew.
    assert found["configuration"]["words"] is False
    assert with_words.configuration()["words"] is True


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

    def fit(*_: Any) -> Any:
        raise AssertionError("readouts are fitted again for a report")

    monkeypatch.setattr(Emergence, "_fit", fit)
    again = cli("-w", workspace, "-q", "experiment", "emergence", "--images", 4, "--json", "-o", tmp_path / "again")
    assert (again.code, again.err) == (0, "")
    pages = [Path(json.loads(done.out)["report"]).read_text(encoding="utf-8") for done in (done, again)]
    assert pages[0] == pages[1]


def test_pictures_are_bright_where_the_codes_say_an_object(workspace: Path) -> None:
    ctx = Context(Workspace(workspace))
    experiment = Emergence.plan(ctx, OPTIONS)
    rows = experiment.pictures(run_experiment(ctx, experiment).results)
    (batch,) = experiment.measured(0, 4)
    moments, places = experiment._fit()
    readouts, thresholds = experiment._choose(moments, places)
    key = ("mid", 1, "codes")
    ((_, scores, _),) = [one for one in experiment._scored(batch, readouts, places) if one[0] == key]
    says = scores[:, 0].numpy().reshape(4, 12, 12) >= thresholds[key][0]
    assert says.any()
    assert not says.all()
    for row, said in zip(rows, says, strict=True):
        assert [panel.caption for panel in row.panels] == ["step 0", "step 1", "finished"]
        shown, whole = (np.asarray(panel.picture, int).reshape(12, -1, 12, 8, 3) for panel in row.panels[1:])
        same = (shown == whole).all((1, 3, 4))
        assert same[said].all()
        # Dark cells of the picture hardly change when they are dimmed.
        assert same[~said].mean() < 0.1


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (("--at", "shapes"), 2, "write MODEL:STEPS"),
        (("--layer", "late"), 1, "layer late has no dictionary here: run `autointerp fit --layer late` first"),
        (("--layer", "nowhere"), 2, "nowhere"),
    ],
)
def test_what_cannot_be_is_said_first(labeled: Path, cli: Callable[..., Any], given: Any, code: int, says: str) -> None:
    done = cli("-w", labeled, "-q", "experiment", "emergence", *given)
    assert done.code == code
    assert says in done.err
    assert done.err.count("\n") == 1
