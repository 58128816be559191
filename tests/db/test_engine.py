"""Opening, upgrading, checking and copying a database, and what is said of a bad one."""

from __future__ import annotations

import os
import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from autointerp.db import engine, models
from autointerp.db.base import Base
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError, translate


def test_models_and_migrations_agree(db):
    with db.engine.connect() as connection:
        ours = {"include_name": lambda name, kind, parent: not (name or "").startswith("labels_fts")}
        context = MigrationContext.configure(connection, opts={"compare_type": True, **ours})
        assert compare_metadata(context, Base.metadata) == []


def test_checks_of_models_and_migrations_agree(db):
    declared = {str(c.name) for t in Base.metadata.tables.values() for c in t.constraints if "ck_" in str(c.name)}
    with sqlite3.connect(db.path) as connection:
        schema = " ".join(row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table'"))
    assert declared and all(name in schema for name in declared)


def test_head_is_the_newest_revision():
    script = ScriptDirectory.from_config(engine._alembic_config())
    assert script.get_heads() == [engine.HEAD]


def test_upgrade_is_done_once(tmp_path):
    database = Database(tmp_path / "a.db")
    assert database.revision() is None
    assert database.upgrade() is True
    assert database.upgrade() is False
    assert database.revision() == database.head()


def test_killed_upgrade_leaves_nothing_half_made(tmp_path, monkeypatch):
    from alembic import op

    database = Database(tmp_path / "a.db")
    monkeypatch.setattr(op, "create_index", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        database.upgrade()
    monkeypatch.undo()
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert database.upgrade() is True
    assert database.check() == []


def test_pragmas(db):
    with db.engine.connect() as connection:
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA busy_timeout")) == engine.BUSY_MS


def test_session_commits_or_rolls_back(db):
    with db.session() as session:
        session.add(models.Labeler(kind="clip"))
    with pytest.raises(RuntimeError), db.session() as session:
        session.add(models.Labeler(kind="vlm"))
        session.flush()
        raise RuntimeError
    with db.session() as session:
        assert [labeler.kind for labeler in session.query(models.Labeler)] == ["clip"]


def test_newer_schema_is_refused_and_left_alone(db):
    with sqlite3.connect(db.path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="newer autointerp.*upgrade autointerp"):
        Database(db.path).upgrade()
    assert Database(db.path).revision() == "9999"


@pytest.mark.parametrize("content", [b"just some text\n", b"\x00" * 2000, b"SQLite format 3\x00" + b"rubbish" * 500])
def test_not_sqlite(tmp_path, content):
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="not an SQLite database|damaged"):
        Database(path).upgrade()
    assert path.read_bytes() == content


def test_other_programs_tables_are_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
    with pytest.raises(DatabaseError, match="another program"):
        Database(tmp_path / "a.db").upgrade()


def test_paths_that_cannot_be_a_database(tmp_path):
    with pytest.raises(DatabaseError, match="is a folder"):
        Database(tmp_path).upgrade()
    with pytest.raises(DatabaseError, match="does not exist"):
        Database(tmp_path / "no" / "a.db").upgrade()


def test_not_writable(db, monkeypatch):
    db.close()
    db.path.chmod(0o444)
    if os.geteuid() == 0:  # root may write everywhere
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(DatabaseError, match="cannot be written"):
        Database(db.path).upgrade()


def test_full_disk_is_one_line(db):
    """`max_page_count` makes SQLite itself say that the disk is full."""
    with pytest.raises(DatabaseError, match="disk is full.*free some space"), db.session() as session:
        pages = session.scalar(text("PRAGMA page_count"))
        session.execute(text(f"PRAGMA max_page_count = {pages + 1}"))
        session.add(models.Call(request_hash="x", purpose="label", model="m", answer="y" * 100_000))
    assert db.check() == []


def test_translate_leaves_other_errors_alone():
    assert translate(sqlite3.OperationalError("no such table: x"), "a.db") is None


def test_check_finds_damage(filled):
    assert filled.check() == []
    with sqlite3.connect(filled.path) as connection:
        connection.execute("UPDATE images SET picture = 'x' WHERE id = 1")
        connection.execute("UPDATE images SET width = 9 WHERE id = 2")
        connection.execute("DELETE FROM features WHERE id = 3")
        connection.execute("INSERT INTO labels_fts (rowid, name) VALUES (77, 'ghost')")
    problems = filled.check()
    assert len(problems) == 4
    for words in ("image 1 does not decode", "image 2 is 8x8, not 9x8", "missing row of features", "word index"):
        assert any(words in problem for problem in problems)


def test_check_of_an_old_schema_says_so(tmp_path):
    assert "db upgrade" in Database(tmp_path / "a.db").check()[0]


def test_backup_is_whole_and_refuses_to_overwrite(filled, tmp_path):
    target = tmp_path / "copy.db"
    with filled.session() as session:
        session.add(models.Labeler(kind="late"))
    filled.backup(target)
    assert Database(target).check() == []
    with Database(target).session() as session:
        assert session.query(models.Crop).count() == 6 and session.query(models.Labeler).count() == 1
    before = target.read_bytes()
    with pytest.raises(DatabaseError, match="exists"):
        filled.backup(target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_times_are_utc_and_aware(filled):
    with filled.session() as session:
        created = session.query(models.Dictionary).one().created_at
    assert created.tzinfo is not None and created.utcoffset().total_seconds() == 0
