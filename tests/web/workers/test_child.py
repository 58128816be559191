"""The worker process by itself: what it says, and how it ends with its server."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from autointerp.web.workers.child import ReportedProgress
from autointerp.web.workers.wire import Message, read_message, write_message
from tests.web.sites import PLAYING


def started(tmp_path: Path) -> Any:
    return subprocess.Popen([*PLAYING, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def ask(process: Any, **value: Any) -> None:
    write_message(process.stdin, Message(value))


def test_a_server_that_is_gone_ends_the_task_and_the_process(tmp_path: Path) -> None:
    process = started(tmp_path)
    ask(process, ticket="a", task="count", request={"to": 100_000, "seconds": 0.01})
    first = read_message(process.stdout)
    assert first is not None
    assert first.value == {"ticket": "a", "note": "counting"}
    process.stdin.close()
    said = []
    while (message := read_message(process.stdout)) is not None:
        said.append(message.value)
    assert said[-1] == {"ticket": "a", "stopped": True}
    assert process.wait(30) == 0
    process.stdout.close()


def test_a_stop_that_comes_before_its_task_holds_and_one_of_another_does_not(tmp_path: Path) -> None:
    process = started(tmp_path)
    ask(process, stop="b")
    ask(process, ticket="b", task="count", request={"to": 100_000, "seconds": 0.01})
    stopped = read_message(process.stdout)
    assert stopped is not None
    assert stopped.value == {"ticket": "b", "stopped": True}
    ask(process, stop="a")
    ask(process, ticket="c", task="count", request={"to": 2})
    while (message := read_message(process.stdout)) is not None and "done" not in message.value:
        assert message.value["ticket"] == "c"
    assert message is not None
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()


def test_progress_is_told_at_the_beginning_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = []
    progress = ReportedProgress(said.append)
    with progress.task("paint", 1000, unit="step") as bar:
        for _ in range(1000):
            bar.advance()
    progress.note("a note")
    done = [one["progress"]["done"] for one in said if "progress" in one]
    assert (done[0], done[-1], said[-1]) == (0, 1000, {"note": "a note"})
    assert len(done) < 100
