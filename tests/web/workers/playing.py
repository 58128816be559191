"""A worker process whose tasks are those below, which need no model."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from autointerp.errors import UsageError
from autointerp.registry import Kind, Registry
from autointerp.web.workers import child
from autointerp.web.workers.wire import Message


def count(bench: Any, request: dict[str, Any]) -> Message:
    """Count up, with a report for each number; what is kept goes on from task to task."""
    bench.kept["tasks"] = bench.kept.get("tasks", 0) + 1
    bench.progress.note("counting")
    print("libraries may print")  # noqa: T201
    with bench.progress.task("count", request["to"], unit="number") as bar:
        for number in range(request["to"]):
            time.sleep(request.get("seconds", 0))
            bar.advance(note=str(number))
    value = {"tasks": bench.kept["tasks"], "key": os.environ.get("A_KEY", "none"), "pid": os.getpid()}
    return Message(value, {"0.webp": b"picture"})


def fail(_bench: Any, request: dict[str, Any]) -> Message:
    """Fail in one of three ways."""
    if request["how"] == "said":
        raise UsageError("no such thing at /home/me/w/x.db", "try another")
    if request["how"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError("a secret")


def deaf(_bench: Any, request: dict[str, Any]) -> Message:
    """Take no notice of being stopped."""
    (Path(request["folder"]) / "begun").write_text("", encoding="utf-8")
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            (Path(request["folder"]) / "asked").write_text("", encoding="utf-8")


def careful(bench: Any, request: dict[str, Any]) -> Message:
    """Be stopped while something is put away, which must be done as a whole."""
    folder = Path(request["folder"])
    with bench.stops.held_back():
        (folder / "begun").write_text("", encoding="utf-8")
        while not (folder / "asked").exists():
            time.sleep(0.01)
        for _ in range(20):
            time.sleep(0.01)
        (folder / "put away").write_text("", encoding="utf-8")
    return Message({})


def paint(bench: Any, _request: dict[str, Any]) -> Message:
    """Paint without end."""
    return count(bench, {"to": 100_000, "seconds": 0.01})


def warm(_bench: Any, _request: dict[str, Any]) -> Message:
    """Do nothing."""
    return Message({})


TASKS = ("count", "fail", "deaf", "careful", "paint", "warm")
child.TASKS = Registry("task", [Kind(name, "", f"{__name__}:{name}") for name in TASKS])

if __name__ == "__main__":
    child.main()
