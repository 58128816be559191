"""How connections are set up."""

from __future__ import annotations

import builtins

import pytest
from sqlalchemy import text

from autointerp.db.engine import Database
from autointerp.db.waiting import SLICE_MS

from .conftest import refused


@pytest.mark.sqlite
def test_pragmas(db):
    with db.engine.connect() as connection:
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA busy_timeout")) == SLICE_MS
        # 2 is FULL: a power cut loses no commit.
        assert connection.scalar(text("PRAGMA synchronous")) == 2


def test_without_the_extra_it_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'autointerp[postgres]'" in refused(Database("postgresql+psycopg://me:s3cret@host/name"))
