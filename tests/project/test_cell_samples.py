"""Active cells and random cells of a harvest, as evidence."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.crops.sample import active_above
from autointerp.crops.split import split_of
from autointerp.db import queries
from autointerp.db.models import Feature
from autointerp.project.context import Context, identity
from autointerp.project.evidence import EvidenceReader
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.harvest.planning import SINCE_SAMPLES

Cli = Callable[..., Any]
NAME = "shapes-turbo.mid.topk"


def reader_of(workspace: Path) -> EvidenceReader:
    ctx = Context(WorkspaceFolder(workspace))
    return EvidenceReader(ctx.db, ctx.dictionary_named(NAME))


def live(reader: EvidenceReader) -> list[Feature]:
    with reader.db.session() as session:
        rows = queries.features.of_dictionary(session, reader.dictionary.id, "live")
        session.expunge_all()
    return rows


@pytest.mark.parametrize("split", ["explain", "score"])
def test_active_cells_are_active_and_as_many_of_a_picture_as_asked(labeled: Path, split: Any) -> None:
    reader = reader_of(labeled)
    features = live(reader)
    found = reader.cells.active_cells(features, split, 6, seed=1, most=1)
    assert list(found) == [feature.id for feature in features]
    assert sum(len(cells) for cells in found.values()) > 2 * len(features)
    for feature in features:
        cells = found[feature.id]
        assert len({cell.image_id for cell in cells}) == len(cells) <= 6
        for one in cells:
            assert one.activation_map is not None
            assert one.cell is not None
            assert one.activation == one.activation_map[one.cell] > one.active_above
            assert one.active_above == float(active_above(feature.max_activation))
            assert one.active is not None
            # A cell that is alone of its picture stands for at least those of the picture.
            assert one.weight >= one.active.sum() - 1e-9 > 0
            assert split_of(one.prompt) == split
    again = reader.cells.active_cells(features, split, 6, seed=1, most=1)
    assert [[(c.crop_id, c.cell) for c in found[f.id]] for f in features] == [
        [(c.crop_id, c.cell) for c in again[f.id]] for f in features
    ]
    fewer = reader.cells.active_cells(features[:3], split, 6, seed=1, most=1)
    assert all([(c.crop_id, c.cell) for c in fewer[i]] == [(c.crop_id, c.cell) for c in found[i]] for i in fewer)


def test_drawn_cells_stand_for_all_active_ones(labeled: Path) -> None:
    """Over seeds, weighted activations of the drawn cells sum to those of all cells that the sample stands for."""
    reader = reader_of(labeled)
    features = live(reader)
    every = reader.cells.active_cells(features, "explain", 1000, seed=0)
    feature = max(features, key=lambda one: len(every[one.id]))
    whole = sum(one.weight * one.activation for one in every[feature.id])
    sums = []
    for seed in range(200):
        drawn = reader.cells.active_cells([feature], "explain", 4, seed)[feature.id]
        assert sum(one.weight for one in drawn) == pytest.approx(sum(one.weight for one in every[feature.id]))
        sums.append(sum(one.weight * one.activation for one in drawn))
    assert np.std(sums) > 0.01 * whole
    assert abs(np.mean(sums) - whole) < 4 * np.std(sums) / 200**0.5


def test_more_cells_than_pictures_are_drawn_from_the_same_pictures(labeled: Path) -> None:
    reader = reader_of(labeled)
    features = live(reader)
    every = reader.cells.active_cells(features, "score", 100_000, seed=0)
    for cells in every.values():
        assert len({(one.image_id, one.cell) for one in cells}) == len(cells)
        pictures = {one.image_id: one for one in cells}
        assert len(cells) == sum(int(one.active.sum()) for one in pictures.values() if one.active is not None)
    many = max(every, key=lambda feature_id: len(every[feature_id]))
    some = reader.cells.active_cells([one for one in features if one.id == many], "score", len(every[many]) - 1, 0)
    assert len(some[many]) == len(every[many]) - 1


def test_random_cells_are_of_the_split_and_of_the_layer(labeled: Path) -> None:
    reader = reader_of(labeled)
    explain, score = (reader.cells.random_cells(split, 50, seed=2) for split in ("explain", "score"))
    for split, cells in (("explain", explain), ("score", score)):
        assert cells
        assert all(split_of(one.prompt) == split and one.role == "random" for one in cells)
        assert all(one.grid == (12, 12) and one.activation_map is None for one in cells)
    assert not {one.image_id for one in explain} & {one.image_id for one in score}


def test_gain_is_shown_the_samples(labeled: Path) -> None:
    reader = reader_of(labeled)
    features = live(reader)
    shown = reader.for_scores({one.id: one.latent_index for one in features}, {"active", "cells"}, 3)
    drawn = reader.cells.active_cells(features, "score", 20, 3)
    cells = [(one.image_id, one.cell) for one in reader.cells.random_cells("score", 50, 3)]
    for feature in features:
        assert [(c.image_id, c.cell) for c in shown[feature.id].active] == [
            (c.image_id, c.cell) for c in drawn[feature.id]
        ]
        assert [(c.image_id, c.cell) for c in shown[feature.id].cells] == cells


def test_what_an_earlier_version_harvested_is_told_and_added_to(labeled: Path, tmp_path: Path, cli: Cli) -> None:
    """Samples are added beside crops, labels and scores, which stay as they are."""
    workspace = tmp_path / "w"
    shutil.copytree(labeled, workspace)
    with sqlite3.connect(workspace / "autointerp.db") as db:
        before = db.execute("SELECT id, activation, role, sample_probability FROM crops ORDER BY id").fetchall()
        db.execute("DELETE FROM crops WHERE role = 'quantile' AND quantile IS NULL")
        db.execute("UPDATE crops SET sample_probability = NULL")
        cells = db.execute("SELECT image_id, step, row, col, split FROM cells ORDER BY id").fetchall()
        db.execute("DELETE FROM cells")
        (run, config), (weights,) = (
            db.execute("SELECT id, config FROM runs WHERE kind = 'harvest'").fetchone(),
            db.execute("SELECT weights_sha256 FROM dictionaries").fetchone(),
        )
        old = json.loads(config)
        old["crops"] = {name: value for name, value in old["crops"].items() if name not in SINCE_SAMPLES}
        key = identity({"weights": weights, "harvest": old})
        db.execute("UPDATE runs SET config = ?, identity = ? WHERE id = ?", (json.dumps(old), key, run))
        kept = db.execute("SELECT id, feature_id, image_id, role FROM crops ORDER BY id").fetchall()
        judged = db.execute("SELECT count(*) FROM scores").fetchall()
    reader = reader_of(workspace)
    assert not reader.cells.kept
    assert reader.cells.random_cells("score", 5, 0) == []
    assert not any(reader.cells.active_cells(live(reader), "score", 5, 0).values())
    notes: list[str] = []
    reader.cells.note_missing(type("Notes", (), {"note": staticmethod(notes.append)})())  # type: ignore[arg-type]
    assert "`autointerp harvest --layer mid --dictionary shapes-turbo.mid.topk` adds them" in notes[0]
    # The stored crops stand in for both samples, and the score says so.
    shown = reader.for_scores({one.id: one.latent_index for one in live(reader)}, {"active", "cells"}, 0)
    assert {crop.role for one in shown.values() for crop in one.active} == {"top", "quantile"}
    assert all(one.cells for one in shown.values())
    scored = cli("-w", workspace, "score", "--layer", "mid", "--method", "gain", "--judge", "coin")
    assert scored.err.count("so its stored crops stand in for them") == 1
    with sqlite3.connect(workspace / "autointerp.db") as db:
        judged = db.execute("SELECT count(*) FROM scores").fetchall()
    # Nothing is harvested again by itself.
    plan = cli("-w", workspace, "label", "--layer", "mid", "--dry-run").out
    assert not [line for line in plan.splitlines() if line.startswith("harvest") and "up to date" not in line], plan
    plan = cli("-w", workspace, "harvest", "--layer", "mid", "--dictionary", NAME, "--dry-run").out
    assert "samples of 40 images a feature, and random cells, beside the crops that are there" in plan
    done = cli("-w", workspace, "harvest", "--layer", "mid", "--dictionary", NAME)
    assert done.code == 0, done.err
    with sqlite3.connect(workspace / "autointerp.db") as db:
        now = db.execute("SELECT id, feature_id, image_id, role FROM crops ORDER BY id").fetchall()
        assert now[: len(kept)] == kept
        assert db.execute("SELECT count(*) FROM scores").fetchall() == judged
        assert db.execute("SELECT count(*) FROM runs WHERE kind = 'harvest' AND status = 'done'").fetchall() == [(1,)]
        assert db.execute("SELECT image_id, step, row, col, split FROM cells ORDER BY id").fetchall() == cells
        after = db.execute("SELECT activation, role, sample_probability FROM crops").fetchall()
    assert sorted(after, key=str) == sorted((row[1:] for row in before), key=str)
    # The index of crops is made anew when it is next used.
    (problem,) = cli("-w", workspace, "db", "check").out.splitlines()
    assert "index shapes-turbo.mid.topk.crops is stale" in problem
