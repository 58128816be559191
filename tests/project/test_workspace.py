"""The folder: made where nothing is, refused with one line where it cannot be, locked against a second writer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autointerp.db.check import find_problems
from autointerp.db.errors import DatabaseError
from autointerp.errors import AutointerpError, UsageError
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder


def test_open_makes_what_is_missing_once(tmp_path):
    path = tmp_path / "deep" / "w"
    workspace = WorkspaceFolder.open(path, create=True)
    assert workspace.settings == Settings()
    assert workspace.db.revision() == workspace.db.head()
    assert (path / "autointerp.db").exists()
    (path / "autointerp.toml").write_text("images = 5\n")
    assert WorkspaceFolder.open(path, create=True).settings.images == 5
    assert WorkspaceFolder(path).settings.images == 5


def test_create_keeps_what_is_there(tmp_path):
    WorkspaceFolder.create(tmp_path, Settings(images=5))
    with pytest.raises(UsageError, match="is a workspace already"):
        WorkspaceFolder.create(tmp_path)
    assert WorkspaceFolder(tmp_path).settings.images == 5


def test_reading_a_missing_workspace_makes_nothing(tmp_path):
    with pytest.raises(AutointerpError, match="no workspace at .*autointerp init"):
        WorkspaceFolder(tmp_path / "w")
    assert list(tmp_path.iterdir()) == []


def test_dry_run_writes_nothing(tmp_path):
    workspace = WorkspaceFolder.open(tmp_path / "w", create=True, dry_run=True)
    assert find_problems(workspace.db) == []
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_a_workspace(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for path in (file, file / "under"):
        for attempt in (lambda p=path: WorkspaceFolder.open(p, create=True), lambda p=path: WorkspaceFolder(p)):
            with pytest.raises(AutointerpError) as caught:
                attempt()
            assert "\n" not in str(caught.value)
    assert file.read_text() == "x"


def test_not_writable(tmp_path):
    # /proc takes no new folder from anyone, root included.
    path = "/proc/autointerp-test"
    if os.geteuid() != 0:
        tmp_path.chmod(0o555)
        path = tmp_path / "w"
    with pytest.raises(AutointerpError, match="cannot be written"):
        WorkspaceFolder.open(path, create=True)


def test_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(AutointerpError, match="disk is full"):
        WorkspaceFolder.create(tmp_path / "w")
    assert list(tmp_path.iterdir()) == []


def test_bad_database_is_refused_and_kept(tmp_path):
    workspace = WorkspaceFolder.create(tmp_path)
    (tmp_path / "autointerp.db").write_text("not a database, but somebody's notes")
    with pytest.raises(DatabaseError, match="not an SQLite database"):
        _ = workspace.db
    assert (tmp_path / "autointerp.db").read_text() == "not a database, but somebody's notes"


def test_database_of_a_newer_schema(tmp_path):
    import sqlite3

    first = WorkspaceFolder.create(tmp_path)
    first.db.close()
    with sqlite3.connect(tmp_path / "autointerp.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="upgrade autointerp"):
        _ = WorkspaceFolder(tmp_path).db


def test_database_may_lie_elsewhere(tmp_path):
    workspace = WorkspaceFolder.create(tmp_path / "w", Settings(database="other.db"))
    assert workspace.db.path == tmp_path / "w" / "other.db"
    url = WorkspaceFolder.create(tmp_path / "v", Settings(database="postgresql+psycopg://host/name"))
    assert url.database_url == "postgresql+psycopg://host/name"


def test_a_copied_workspace_works(tmp_path):
    WorkspaceFolder.create(tmp_path / "w").db.close()
    (tmp_path / "w").rename(tmp_path / "moved")
    assert find_problems(WorkspaceFolder(tmp_path / "moved").db) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", "a\\b"])
def test_dictionary_names_stay_inside(tmp_path, name):
    workspace = WorkspaceFolder.create(tmp_path)
    assert workspace.dictionary_dir("shapes-turbo.mid.topk") == tmp_path / "dictionaries" / "shapes-turbo.mid.topk"
    with pytest.raises(UsageError):
        workspace.dictionary_dir(name)


def test_two_writers_are_kept_apart(tmp_path):
    workspace = WorkspaceFolder.create(tmp_path)
    other = WorkspaceFolder(tmp_path)
    with workspace.lock():
        with workspace.lock():
            pass
        with pytest.raises(AutointerpError, match=f"being written by process {os.getpid()}") as caught, other.lock():
            pass
        assert caught.value.retryable
    with other.lock():
        pass


def test_a_killed_writer_leaves_no_lock(tmp_path):
    workspace = WorkspaceFolder.create(tmp_path)
    code = (
        "import sys, time; from autointerp.project.workspace import WorkspaceFolder\n"
        f"with WorkspaceFolder({str(tmp_path)!r}).lock():\n"
        "    print('in', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "in\n"
        with pytest.raises(AutointerpError, match=str(holder.pid)), workspace.lock():
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with workspace.lock():
        pass


@pytest.mark.sqlite
def test_a_folder_that_may_not_be_written_and_has_no_database_reads_as_empty(tmp_path, monkeypatch):
    from autointerp.db import NotWritable, models
    from autointerp.project import workspace as module

    WorkspaceFolder.create(tmp_path)
    monkeypatch.setattr(module, "may_write", lambda path: False)
    workspace = WorkspaceFolder(tmp_path)
    assert find_problems(workspace.db) == []
    with pytest.raises(NotWritable, match="cannot be written"), workspace.db.session() as session:
        session.add(models.LabelerRow(kind="clip"))
    workspace.close()
    assert [path.name for path in tmp_path.iterdir()] == ["autointerp.toml"]


@pytest.mark.sqlite
def test_waiting_for_the_database_is_said(tmp_path):
    workspace = WorkspaceFolder.open(tmp_path, create=True)
    said = []
    workspace.db.on_wait("before anybody listens")
    workspace.on_wait = said.append
    workspace.db.on_wait("waiting")
    assert said == ["waiting"]
    workspace.close()
