"""Opening, upgrading, checking and copying a database, and what is said of a bad one."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from autointerp.db import engine, models, queries
from autointerp.db.base import Base
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError, translate

from .conftest import crop


def test_models_and_migrations_agree(db):
    with db.engine.connect() as connection:
        ours = {"include_name": lambda name, kind, parent: not (name or "").startswith(("labels_fts", "features_fts"))}
        context = MigrationContext.configure(connection, opts={"compare_type": True, **ours})
        assert compare_metadata(context, Base.metadata) == []


def test_checks_of_models_and_migrations_agree(db):
    declared = {str(c.name) for t in Base.metadata.tables.values() for c in t.constraints if "ck_" in str(c.name)}
    tables = inspect(db.engine)
    found = {check["name"] for table in Base.metadata.tables for check in tables.get_check_constraints(table)}
    assert declared and found == declared


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


@pytest.mark.sqlite
def test_pragmas(db):
    with db.engine.connect() as connection:
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA busy_timeout")) == engine.BUSY_MS
        # 2 is FULL: a power cut loses no commit.
        assert connection.scalar(text("PRAGMA synchronous")) == 2


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
    with db.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer autointerp.*upgrade autointerp"):
        db.upgrade()
    assert db.revision() == "9999"


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


@pytest.mark.sqlite
def test_not_writable(db, monkeypatch):
    db.close()
    db.path.chmod(0o444)
    if os.geteuid() == 0:  # root may write everywhere
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(DatabaseError, match="cannot be written"):
        Database(db.path).upgrade()


@pytest.mark.sqlite
def test_full_disk_is_one_line(db):
    """`max_page_count` makes SQLite itself say that the disk is full."""
    with pytest.raises(DatabaseError, match="disk is full.*free some space"), db.session() as session:
        pages = session.scalar(text("PRAGMA page_count"))
        session.execute(text(f"PRAGMA max_page_count = {pages + 1}"))
        session.add(models.Call(request_hash="x", purpose="label", model="m", answer="y" * 100_000))
    assert db.check() == []


def test_translate_leaves_other_errors_alone():
    assert translate(sqlite3.OperationalError("no such table: x"), "a.db") is None


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
        labeler = queries.ensure_labeler(session, kind="clip")
        session.add(models.Label(feature_id=1, labeler_id=labeler.id, status="ok", name="a"))
    assert filled.check() == []
    ranks = "UPDATE crops SET rank = 3 WHERE id = 2"
    lose(filled, ["DELETE FROM features WHERE id = 3", "DELETE FROM labels_fts", ranks])
    assert filled.check() == [
        "crops row 6 refers to a missing row of features",
        "the ranks of feature 1, explain top, have gaps or doubles",
        "the word index holds 0 labels, 0 of them right, of 1",
    ]
    with filled.session() as session:
        # What the index says of a label is not what the label says.
        session.execute(text("UPDATE labels SET name = 'b'"))
        session.execute(text("DROP TRIGGER labels_fts_update" if filled.is_sqlite else TRIGGER_OFF))
        session.execute(text("UPDATE labels SET name = 'c'"))
    assert filled.check()[-1] == "the word index holds 1 labels, 0 of them right, of 1"
    with filled.session() as session:
        session.execute(text("DROP TABLE labels_fts"))
    assert filled.check()[-1] == "the word index labels_fts is missing"


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
        queries.insert_many(session, models.Crop, [{**crop(1, 1, "quantile", rank=1), "id": 99}])
    assert filled.check() == ["feature 1 has several crops of image 1"]


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
    problems = filled.check()
    assert problems and all(problem.startswith("integrity: ") for problem in problems)


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


def test_backup_that_fails_leaves_nothing(filled, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine.os, "fsync", full)
    with pytest.raises(DatabaseError, match="disk is full"):
        filled.backup(tmp_path / "copy.db")
    assert not [p.name for p in tmp_path.iterdir() if "copy" in p.name]
    with pytest.raises(DatabaseError, match="does not exist"):
        filled.backup(tmp_path / "no" / "copy.db")


def test_a_backup_whose_log_could_not_be_moved_in_is_no_backup(tmp_path):
    target = tmp_path / "copy.db"
    with pytest.raises(DatabaseError, match="disk is full while writing .*copy.db"):
        with engine.whole_file(target) as partial:
            partial.write_bytes(b"SQLite format 3")
            partial.with_name(partial.name + "-wal").write_bytes(b"rows")
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys, itertools
from autointerp.db import models
from autointerp.db.engine import Database
db = Database(sys.argv[1])
for n in itertools.count():
    with db.session() as session:
        # Two rows a transaction: a copy that has one of them alone is of no moment.
        for half in "ab":
            session.add(models.Call(request_hash=f"{n}{half}", purpose="label", model="m", answer="x" * 20_000))
    print(n, flush=True)
"""


def test_backup_while_another_process_writes(filled, tmp_path):
    given = filled.url.render_as_string(hide_password=False) if filled.path is None else str(filled.path)
    with subprocess.Popen([sys.executable, "-c", WRITER, given], stdout=subprocess.PIPE, text=True) as writer:
        try:
            counts = []
            for number in range(3):
                for _ in range(20):
                    assert writer.stdout.readline()
                filled.backup(tmp_path / f"{number}.db")
                copy = Database(tmp_path / f"{number}.db")
                assert copy.check() == []
                with copy.session() as session:
                    numbers = [call.request_hash[:-1] for call in session.query(models.Call).order_by(models.Call.id)]
                assert numbers == [str(n) for n in range(len(numbers) // 2) for _ in "ab"]
                counts.append(len(numbers))
            assert counts == sorted(counts) and counts[0] >= 40 and counts[-1] > counts[0]
        finally:
            writer.kill()


def test_text_that_databases_refuse(filled):
    """A model may answer with anything."""
    with filled.session() as session:
        config = {"n\0ul": "\0", "nan": [float("nan"), 1.5]}
        labeler = queries.ensure_labeler(session, config, kind="clip", model="a\0b")
        session.add(models.Label(feature_id=1, labeler_id=labeler.id, status="ok", name="half \ud83d \U0001f600 \0"))
        session.flush()
        session.expire_all()
        assert labeler.model == "a\ufffdb" and labeler.config == {"n\0ul": "\0", "nan": [None, 1.5]}
        assert session.query(models.Label).one().name == "half \ufffd \U0001f600 \ufffd"


def test_times_are_utc_and_aware(filled):
    with filled.session() as session:
        created = session.query(models.Dictionary).one().created_at
    assert created.tzinfo is not None and created.utcoffset().total_seconds() == 0
