"""A backup is one moment of a database in use."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

from autointerp.db import models
from autointerp.db.backup import back_up
from autointerp.db.check import find_problems
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError


def test_backup_is_whole_and_refuses_to_overwrite(filled, tmp_path):
    target = tmp_path / "copy.db"
    with filled.session() as session:
        session.add(models.LabelerRow(kind="late"))
    back_up(filled, target)
    assert find_problems(Database(target)) == []
    with Database(target).session() as session:
        assert session.query(models.Crop).count() == 6
        assert session.query(models.LabelerRow).count() == 1
    before = target.read_bytes()
    with pytest.raises(DatabaseError, match="exists"):
        back_up(filled, target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_backup_that_fails_leaves_nothing(filled, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DatabaseError, match="disk is full"):
        back_up(filled, tmp_path / "copy.db")
    assert not [p.name for p in tmp_path.iterdir() if "copy" in p.name]
    with pytest.raises(DatabaseError, match="does not exist"):
        back_up(filled, tmp_path / "no" / "copy.db")


WRITER = """
import os
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
                back_up(filled, tmp_path / f"{number}.db")
                copy = Database(tmp_path / f"{number}.db")
                assert find_problems(copy) == []
                with copy.session() as session:
                    numbers = [call.request_hash[:-1] for call in session.query(models.Call).order_by(models.Call.id)]
                assert numbers == [str(n) for n in range(len(numbers) // 2) for _ in "ab"]
                counts.append(len(numbers))
            assert counts == sorted(counts)
            assert counts[0] >= 40
            assert counts[-1] > counts[0]
        finally:
            writer.kill()


@pytest.mark.sqlite
def test_a_target_that_cannot_be_opened_is_named(filled, tmp_path, monkeypatch):
    def refused(path):
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", refused)
    with pytest.raises(DatabaseError, match=r"copy\.db cannot be opened"):
        back_up(filled, tmp_path / "copy.db")
