"""Damage is found and told in a line."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from autointerp.db import models, queries
from autointerp.db.check import find_problems
from autointerp.db.engine import Database
from autointerp.db.queries.labelers import LabelerKey

from .conftest import crop


def lose(db, statements):
    """Run statements that foreign keys and triggers would not let through, as a fault of the disk might."""
    with db.engine.connect() as connection:
        if db.is_sqlite:
            # Outside of a transaction, or it does nothing.
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(text(statement))
        connection.commit()
    db.close()


def test_check_finds_damage(filled):
    with filled.session() as session:
        labeler = queries.labelers.ensure(session, LabelerKey("clip"))
        session.add(models.Label(feature_id=1, labeler_id=labeler.id, status="ok", name="a"))
    assert find_problems(filled) == []
    ranks = "UPDATE crops SET rank = 3 WHERE id = 2"
    lose(filled, ["DELETE FROM features WHERE id = 3", "DELETE FROM labels_fts", ranks])
    assert find_problems(filled) == [
        "crops row 6 refers to a missing row of features",
        "the ranks of feature 1, explain top, have gaps or doubles",
        "the word index holds 0 labels, 0 of them right, of 1",
    ]
    with filled.session() as session:
        # What the index says of a label is not what the label says.
        session.execute(text("UPDATE labels SET name = 'b'"))
        session.execute(text("DROP TRIGGER labels_fts_update" if filled.is_sqlite else TRIGGER_OFF))
        session.execute(text("UPDATE labels SET name = 'c'"))
    assert find_problems(filled)[-1] == "the word index holds 1 labels, 0 of them right, of 1"
    with filled.session() as session:
        session.execute(text("DROP TABLE labels_fts"))
    assert find_problems(filled)[-1] == "the word index labels_fts is missing"


TRIGGER_OFF = "ALTER TABLE labels DISABLE TRIGGER labels_fts_write"


def test_check_finds_two_crops_of_one_image(filled):
    with filled.session() as session:
        if filled.is_sqlite:
            # The constraint cannot be dropped there, so the table is made without.
            session.execute(text("CREATE TABLE loose AS SELECT * FROM crops"))
            session.execute(text("DROP TABLE crops"))
            session.execute(text("ALTER TABLE loose RENAME TO crops"))
        else:
            session.execute(text("ALTER TABLE crops DROP CONSTRAINT uq_crops_feature_id_image_id"))
        queries.bulk.insert_many(session, models.Crop, [{**crop(1, 1, "quantile", rank=1), "id": 99}])
    assert find_problems(filled) == ["feature 1 has several crops of image 1"]


@pytest.mark.sqlite
def test_check_finds_a_damaged_file(filled):
    with filled.engine.connect() as connection:
        size = connection.scalar(text("PRAGMA page_size"))
        page = connection.scalar(text("SELECT rootpage FROM sqlite_master WHERE name = 'ix_crops_image_id'"))
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    filled.close()
    with filled.path.open("r+b") as file:
        file.seek((page - 1) * size + size - 20)
        file.write(bytes(20))
    problems = find_problems(filled)
    assert problems
    assert all(problem.startswith("integrity: ") for problem in problems)


def test_check_of_an_old_schema_says_so(tmp_path):
    assert "db upgrade" in find_problems(Database(tmp_path / "a.db"))[0]


def test_an_index_that_is_not_valid_is_found(on_server):
    with on_server.session() as session:
        session.execute(text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_crops_image_id'::regclass"))
    assert find_problems(on_server) == ["integrity: the index ix_crops_image_id is not valid"]
