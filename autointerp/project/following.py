"""What the process that writes a workspace is at: a small file, by which other processes follow it.

It is written while that process holds the workspace's lock, at most once a second, and is believed only while the
process lives: a process that was killed leaves its file behind, and nobody at work.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from autointerp.files import replacing
from autointerp.progress import Progress, Task

if TYPE_CHECKING:
    from pathlib import Path

    from autointerp.project.workspace import WorkspaceFolder

PROGRESS_FILE = ".progress"
_EVERY = 1.0
"""Seconds between two writes, at least."""
_LONGEST = 4096
"""Bytes of a file that are read."""


@dataclass(frozen=True)
class BarUnderWay:
    """The bar of the process that writes a workspace.

    Attributes:
        what: What it does, such as `label shapes.mid.topk`.
        done: Units finished.
        total: Units in all.
        unit: What a unit is.
        note: What the bar says of the last unit.
    """

    what: str
    done: int
    total: int
    unit: str
    note: str


class FollowedProgress(Progress):
    """Progress that other processes can follow, while this one holds the workspace's lock.

    Args:
        shown: Where it is shown here.
        workspace: The workspace.
    """

    def __init__(self, shown: Progress, workspace: WorkspaceFolder) -> None:
        self.shown, self._workspace = shown, workspace

    @contextmanager
    @override
    def task(self, what: str, total: int, done: int = 0, unit: str = "it") -> Iterator[Task]:
        """See `Progress`."""
        path = self._workspace.path / PROGRESS_FILE
        with self.shown.task(what, total, done, unit) as task:
            followed = _FollowedTask(task, path, BarUnderWay(what, done, total, unit, ""))
            if not self._workspace.is_locked:
                yield task
                return
            followed.write()
            try:
                yield followed
            finally:
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    @override
    def note(self, text: str) -> None:
        """See `Progress`."""
        self.shown.note(text)


class _FollowedTask:
    def __init__(self, task: Task, path: Path, bar: BarUnderWay) -> None:
        self._task, self._path, self._bar = task, path, bar
        self._wrote = 0.0

    def advance(self, n: int = 1, note: str = "") -> None:
        """See `Task`."""
        self._task.advance(n, note)
        bar = self._bar
        self._bar = BarUnderWay(bar.what, bar.done + n, bar.total, bar.unit, note or bar.note)
        if time.monotonic() - self._wrote >= _EVERY:
            self.write()

    def write(self) -> None:
        """Write the bar; a full disk stops no work."""
        self._wrote = time.monotonic()
        with suppress(OSError), replacing(self._path) as partial:
            partial.write_text(json.dumps(vars(self._bar)), encoding="utf-8")


def bar_under_way(workspace: WorkspaceFolder) -> BarUnderWay | None:
    """Return the bar of the process that writes a workspace; None where none does, or it shows no bar."""
    if not workspace.is_being_written():
        return None
    with suppress(OSError, ValueError, TypeError, KeyError):
        with (workspace.path / PROGRESS_FILE).open("rb") as file:
            found: Mapping[str, Any] = json.loads(file.read(_LONGEST))
        texts = (str(found[key]) for key in ("unit", "note"))
        return BarUnderWay(str(found["what"]), int(found["done"]), int(found["total"]), *texts)
    return None
