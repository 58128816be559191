"""The rows of a dictionary, carried from one database to another."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from autointerp.db import models, queries
from autointerp.db.base import Base
from autointerp.db.queries import carrying
from autointerp.db.queries.labelers import LabelerKey


def carried(database: Any) -> dict[str, list[carrying.CarriedRow]]:
    with database.session() as session:
        return {table.name: list(table.rows) for table in carrying.tables_of(session, 1)}


def restore(database: Any, tables: dict[str, list[carrying.CarriedRow]], name: str) -> int:
    with database.session() as session:
        return carrying.restore(session, lambda table: iter([tables[table]]), name)


def test_all_tables_are_carried_or_left_behind_on_purpose() -> None:
    names = {model.__tablename__ for model in carrying.CARRIED}
    assert set(Base.metadata.tables) - names == {
        *("calls", "indexes", "checkpoints"),
        *("experiments", "experiment_units"),
    }
    assert list(carrying.COLUMNS) == [model.__tablename__ for model in carrying.CARRIED]


def test_references_lead_to_the_same_rows_under_new_ids(filled: Any) -> None:
    tables = carried(filled)
    assert {name: len(rows) for name, rows in tables.items() if rows} == {
        "dictionaries": 1,
        "images": 6,
        "features": 4,
        "crops": 6,
    }
    tables["dictionaries"][0]["identity"] = "another"
    new_id = restore(filled, tables, "second")
    assert new_id == 2
    with filled.session() as session:
        # The pictures are there already, so they are not stored twice.
        assert session.scalar(select(func.count()).select_from(models.Image)) == 6
        first, second = (queries.features.ids_by_index(session, dictionary_id) for dictionary_id in (1, 2))
        assert first.keys() == second.keys()
        for latent in first:
            one, other = (queries.crops.of_feature(session, ids[latent]) for ids in (first, second))
            assert [(crop.rank, image.id) for crop, image in one] == [(crop.rank, image.id) for crop, image in other]
        row = queries.dictionaries.by_name(session, "second")
        assert row is not None
        assert row.identity == "another"


def test_only_the_chosen_labels_are_carried(filled: Any) -> None:
    with filled.session() as session:
        labeler = queries.labelers.ensure(session, LabelerKey("clip"))
        labels = [models.Label(feature_id=1, labeler_id=labeler.id, status="ok", name=name) for name in "ab"]
        session.add_all(labels)
        session.flush()
        tables = {table.name: list(table.rows) for table in carrying.tables_of(session, 1, [labels[1].id])}
    assert [row["name"] for row in tables["labels"]] == ["b"]
    assert [row["kind"] for row in tables["labelers"]] == ["clip"]


def test_rows_that_break_a_constraint_are_told_in_one_line(filled: Any) -> None:
    tables = carried(filled)
    tables["dictionaries"][0]["identity"] = "another"
    tables["features"][0]["state"] = "undead"
    with pytest.raises(carrying.InconsistentRows, match="^.*state") as raised:
        restore(filled, tables, "second")
    assert "\n" not in str(raised.value)
    with filled.session() as session:
        assert [row.name for row in queries.dictionaries.list_all(session)] == ["shapes-turbo.mid.topk"]
