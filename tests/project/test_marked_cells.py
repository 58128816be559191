"""Marked cells of stored crops: every active cell of the score split, and random cells of its pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.crops.sample import active_above
from autointerp.db import queries
from autointerp.db.models import Feature
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.marked_cells import active_cells, cells_above, random_cells
from autointerp.project.workspace import WorkspaceFolder

Query = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def reader(labeled: Path) -> EvidenceReader:
    ctx = Context(WorkspaceFolder(labeled))
    return EvidenceReader(ctx.db, ctx.dictionary_named("shapes-turbo.mid.topk"))


@pytest.fixture(scope="module")
def features(reader: EvidenceReader) -> dict[int, Feature]:
    with reader.db.session() as session:
        rows = queries.features.of_dictionary(session, reader.dictionary.id, "live")[:12]
        session.expunge_all()
    return {row.id: row for row in rows}


def test_active_cells_are_all_cells_above_the_share(reader: EvidenceReader, features: dict[int, Feature]) -> None:
    latents = {id_: row.latent_index for id_, row in features.items()}
    found = active_cells(reader, latents, 10_000, 0)
    assert any(found.values())
    for id_, crops in found.items():
        stored = reader.crops([id_], "score")[id_]
        expected = {
            (crop.image_id, *map(int, cell))
            for crop in stored
            if crop.activation_map is not None
            for cell in np.argwhere(crop.activation_map > active_above(features[id_].max_activation))
        }
        assert {(crop.image_id, *(crop.cell or ())) for crop in crops} == expected
        assert len(crops) == len(expected)
    few = active_cells(reader, latents, 5, 0)
    assert all(len(few[id_]) == min(5, len(found[id_])) for id_ in latents)
    same = active_cells(reader, latents, 5, 0)
    assert [(c.image_id, c.cell) for c in few[min(few)]] == [(c.image_id, c.cell) for c in same[min(few)]]


def test_random_cells_are_of_pictures_that_no_labeler_saw(reader: EvidenceReader, labeled: Path, query: Query) -> None:
    held_out = {i for (i,) in query(labeled, "SELECT DISTINCT image_id FROM crops WHERE split = 'score'")}
    cells = random_cells(reader, 50, 0)
    assert len(cells) == 50
    assert {crop.image_id for crop in cells} == held_out
    places = np.array([crop.cell for crop in cells])
    assert places.min() >= 0
    assert places.max() < 12
    assert len(np.unique(places)) > 8
    assert [(c.image_id, c.cell) for c in cells] == [(c.image_id, c.cell) for c in random_cells(reader, 50, 0)]


def test_cells_are_counted_from_the_histogram(features: dict[int, Feature]) -> None:
    for row in features.values():
        every = sum(row.histogram["counts"])
        assert cells_above(row, 0.0) == pytest.approx(every)
        assert cells_above(row, row.max_activation) == pytest.approx(0.0, abs=1e-6)
        falling = [cells_above(row, share * row.max_activation) for share in (0.1, 0.25, 0.5, 0.9)]
        assert falling == sorted(falling, reverse=True)
