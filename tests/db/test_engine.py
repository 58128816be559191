"""Sessions of one process and of several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from autointerp.db import models
from autointerp.db.check import find_problems
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError


def test_session_commits_or_rolls_back(db):
    with db.session() as session:
        session.add(models.LabelerRow(kind="clip"))

    def fail():
        with db.session() as session:
            session.add(models.LabelerRow(kind="vlm"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with db.session() as session:
        assert [labeler.kind for labeler in session.query(models.LabelerRow)] == ["clip"]


@pytest.mark.sqlite
def test_full_disk_is_one_line(db):
    """`max_page_count` makes SQLite itself say that the disk is full."""

    def write_more_than_fits():
        with db.session() as session:
            pages = session.scalar(text("PRAGMA page_count"))
            session.execute(text(f"PRAGMA max_page_count = {pages + 1}"))
            session.add(models.Call(request_hash="x", purpose="label", model="m", answer="y" * 100_000))

    with pytest.raises(DatabaseError, match="disk is full.*free some space"):
        write_more_than_fits()
    assert find_problems(db) == []


def test_threads_write_at_once(db):
    def record(number):
        with db.session() as session:
            session.add(models.Call(request_hash=str(number), purpose="label", model="m", answer="x" * 100))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(80)))
    with db.session() as session:
        assert session.query(models.Call).count() == 80


@pytest.mark.sqlite
def test_the_version_changes_with_every_commit_and_with_nothing_else(db):
    def write(database, kind):
        with database.session() as session:
            session.add(models.LabelerRow(kind=kind))

    first = db.version()
    with db.session() as session:
        session.query(models.LabelerRow).all()
    assert db.version() == first
    write(db, "clip")
    second = db.version()
    assert second != first
    another = Database(db.path)
    write(another, "vlm")
    another.close()
    assert db.version() not in (first, second)
    db.close()
    assert isinstance(db.version(), int)
    assert Database("sqlite://").version() is None
