"""Long work tells where it is, on stderr alone."""

from __future__ import annotations

import sys

import pytest

from autointerp import progress
from autointerp.progress import BarProgress, LogProgress, NullProgress, default_progress, note_before_torch


def test_a_log_says_how_far_how_fast_and_how_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with LogProgress().task("harvest", 10, done=2, unit="image") as task:
        now[0] = 20.0
        task.advance(2)
        now[0] = 40.0
        task.advance(2, "note\x1b")
        now[0] = 50.0
        task.advance(4)
    lines = capsys.readouterr()
    assert lines.out == ""
    assert lines.err.splitlines() == [
        "harvest: 6/10 image, 0.1 image/s, 0:40 so far, 0:40 left  note",
        "harvest: 10/10 image, 0.16 image/s, 0:50 so far  note",
    ]


def test_work_that_was_done_already_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with LogProgress(0).task("harvest", 10, done=10):
        pass
    assert capsys.readouterr().err == ""


def test_a_bar_shows_the_count(capsys: pytest.CaptureFixture[str]) -> None:
    bars = BarProgress()
    with bars.task("label", 4) as task:
        task.advance(3, "red")
    bars.note("said\x07")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "3/4" in shown.err
    assert "\nsaid\n" in shown.err


def test_the_progress_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(default_progress(quiet=True), NullProgress)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert isinstance(default_progress(), LogProgress)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(default_progress(), BarProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(default_progress(), LogProgress)


def test_what_comes_next_is_said_where_pytorch_is_still_to_be_imported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    note_before_torch(LogProgress(), "reading d")
    assert capsys.readouterr().err == "reading d\n"
    monkeypatch.setitem(sys.modules, "torch", sys)
    note_before_torch(LogProgress(), "reading d")
    assert capsys.readouterr().err == ""
