"""A whole database into another, either way: every value of every row is the same, or nothing is there."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from sqlalchemy import func, insert, select, text

from autointerp.db import models, queries
from autointerp.db.check import find_problems
from autointerp.db.copy import copy_rows, count_rows, tables
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError
from autointerp.db.queries.labelers import LabelerKey

from .conftest import fill, image
from .queries.test_words import found

EVERY_BYTE = bytes(range(256)) * 40


def content(database):
    with database.session() as session:
        return {t.name: [tuple(row) for row in session.execute(select(t).order_by(t.c.id))] for t in tables()}


def fill_all(database):
    """Rows in every table, of values that are easily changed on the way."""
    fill(database)
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)
    with database.session() as session:
        labeler = queries.labelers.ensure(session, LabelerKey("clip"), {"z": 1, "a": [0.1, None, "é\\0\U0001f600"]})
        row = models.Label(
            feature_id=1, labeler_id=labeler.id, status="ok", name="a \U0001f600 star", explanation="it's \"\\\n\t'"
        )
        row.created_at = moment
        session.add(row)
        session.flush()
        score = models.Score(label_id=row.id, method="detection", value=0.1 + 0.2, ci_low=5e-324, seed=2**62)
        session.add(score)
        session.flush()
        session.add_all(
            models.Judgement(score_id=score.id, crop_id=1, trial=i, truth=True, holds=h)
            for i, h in enumerate((True, False, None))
        )
        experiment = models.ExperimentRow(
            kind="probe", identity="e", model="m", figures=[{"value": None}, {"value": 0.1}]
        )
        session.add(experiment)
        session.flush()
        session.add(models.ExperimentUnit(experiment_id=experiment.id, key="case 1", result={"a": [1, None]}))
        session.add(models.Call(request_hash="h", purpose="label", model="m", answer="", cost=1e-7, latency_ms=1e300))
        run = models.Run(kind="harvest", identity="r", status="running", config={"a": {"b": []}})
        session.add(run)
        session.flush()
        session.add(models.Checkpoint(run_id=run.id, name="x", part=0, dtype="|u1", shape=[256], data=EVERY_BYTE))
        session.add(models.Index(name="i", kind="crops", dictionary_id=1, embedder="e", content_hash="c", path="p"))
        place = {"step": 1, "row": 0, "col": 3, "grid_rows": 4, "grid_cols": 4}
        session.add(models.CellRow(dictionary_id=1, image_id=1, split="score", **place))
        session.add(
            models.StoredBaseRate(dictionary_id=1, judge_id=labeler.id, name="star", cells_hash="c", yes=3, no=4)
        )
        # Ids have gaps after deletions.
        session.execute(insert(models.Image), [{**image(9, seed=2**62, picture=EVERY_BYTE), "id": 700}])
    return database


@pytest.fixture
def full(in_file):
    return fill_all(in_file)


def test_there_and_back_every_row_is_the_same(full, on_server, tmp_path):
    steps = []
    sizes = {"images": 2, "checkpoints": 1}
    copy_rows(full, on_server, lambda n, table: steps.append((table, n)), lambda table: sizes.get(table, 3))
    assert sum(n for _, n in steps) == count_rows(full)
    assert max(n for _, n in steps) == 3
    # Never more rows at a time, and every table after those that it refers to.
    order = list(dict.fromkeys(table for table, _ in steps))
    assert order.index("images") < order.index("crops") < order.index("judgements")
    back = Database(tmp_path / "back.db")
    copy_rows(on_server, back)
    again = Database(tmp_path / "again.db")
    copy_rows(back, again)
    expected = content(full)
    assert all(expected.values())
    assert set(expected) == {table.name for table in tables()}
    for database in (on_server, back, again):
        found_there = content(database)
        for table, rows in expected.items():
            assert found_there[table] == rows, table
        assert find_problems(database) == find_problems(full) == []
        # Labels that came are found by their words.
        assert found(database, "star") == [0]
    with on_server.session() as session:
        # New rows go on after the old ones.
        session.add(models.Call(request_hash="next", purpose="label", model="m"))
        session.flush()
        assert session.scalar(select(func.max(models.Call.id))) == 2
        queries.bulk.insert_many(session, models.Image, [image(50)])
        assert session.scalar(select(func.max(models.Image.id))) == 701


def test_only_into_an_empty_one(full, on_server, server, tmp_path):
    copy_rows(full, on_server)
    before = content(on_server)
    for target in (on_server, full):
        with pytest.raises(DatabaseError, match="is not empty: .* has rows"):
            copy_rows(full, target)
    assert content(on_server) == before
    server.run("CREATE DATABASE notes")
    server.run("CREATE TABLE notes (id int)", "notes")
    notes = Database(server.url("notes"))
    with pytest.raises(DatabaseError, match="another program"):
        copy_rows(full, notes)
    notes.close()
    server.drop("notes")


def test_a_stopped_copy_leaves_no_row_and_can_be_made_again(full, on_server):
    def stop(n, table):
        if table == "crops":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_rows(full, on_server, stop)
    assert count_rows(on_server) == 0
    copy_rows(full, on_server)
    assert content(on_server) == content(full)


@pytest.mark.parametrize("kind", ["in_file", "on_server"])
def test_what_is_written_meanwhile_is_left_out(kind, request, tmp_path):
    source = fill_all(request.getfixturevalue(kind))
    expected = content(source)
    written = []

    def write(n, table):
        if not written:
            other = Database(source.url.render_as_string(hide_password=False))
            with other.session() as session:
                session.execute(text("DELETE FROM crops"))
                session.add(models.Call(request_hash="late", purpose="label", model="m"))
            other.close()
            written.append(table)

    target = Database(tmp_path / "copy.db")
    copy_rows(source, target, write)
    assert written
    assert content(target) == expected != content(source)
