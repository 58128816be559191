"""The file by which other processes follow the one that writes a workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.progress import NullProgress
from autointerp.project import following
from autointerp.project.following import PROGRESS_FILE, BarUnderWay, FollowedProgress, bar_under_way
from autointerp.project.workspace import WorkspaceFolder


@pytest.fixture
def workspace(tmp_path: Path) -> WorkspaceFolder:
    return WorkspaceFolder.create(tmp_path / "w")


def test_a_bar_is_followed_while_the_lock_is_held(workspace: WorkspaceFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_EVERY", 0.0)
    reader, progress = WorkspaceFolder(workspace.path), FollowedProgress(NullProgress(), workspace)
    assert bar_under_way(reader) is None
    with workspace.lock():
        assert bar_under_way(reader) is None
        with progress.task("label d", 5, 1, "feature") as bar:
            assert bar_under_way(reader) == BarUnderWay("label d", 1, 5, "feature", "")
            bar.advance(2, "red circle")
            bar.advance()
            assert bar_under_way(reader) == BarUnderWay("label d", 4, 5, "feature", "red circle")
        assert bar_under_way(reader) is None
    assert not (workspace.path / PROGRESS_FILE).exists()


def test_a_process_that_only_reads_writes_nothing(workspace: WorkspaceFolder) -> None:
    with FollowedProgress(NullProgress(), workspace).task("explain", 5) as bar:
        bar.advance()
        assert not (workspace.path / PROGRESS_FILE).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"what": 1}', '{"what": "x", "done": null}', "x" * 10_000])
def test_what_a_killed_process_left_is_not_believed(workspace: WorkspaceFolder, text: str) -> None:
    (workspace.path / PROGRESS_FILE).write_text('{"what": "label", "done": 1, "total": 2, "unit": "x", "note": ""}')
    assert bar_under_way(workspace) is None
    (workspace.path / PROGRESS_FILE).write_text(text)
    with workspace.lock():
        assert bar_under_way(workspace) is None


def test_a_full_disk_stops_no_work(workspace: WorkspaceFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(following, "replacing", full)
    with workspace.lock(), FollowedProgress(NullProgress(), workspace).task("label", 2) as bar:
        bar.advance()
