"""The registry of tasks: what pages may ask a worker process to do. A task's module is imported in that process alone.

A new task is a function `(bench, request) -> Message` and a row here. The server never imports the function, so it
needs no model, stage or experiment.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.project.workspace import SettingsStamp, settings_stamp
from autointerp.registry import Kind, Registry
from autointerp.web.workers.stops import Stops
from autointerp.web.workers.wire import Message

if TYPE_CHECKING:
    from autointerp.progress import Progress
    from autointerp.project.context import Context


class Workbench:
    """What a worker process has at hand for its tasks, one after the other.

    Args:
        workspace: The workspace's folder.
        progress: Where a task says how far it is.

    Attributes:
        kept: What tasks keep for later ones, by keys of their own.
        stops: What interrupts a task that is stopped.
    """

    def __init__(self, workspace: Path, progress: Progress) -> None:
        self.workspace, self.progress = workspace, progress
        self.kept: dict[str, Any] = {}
        self.stops = Stops()
        self._reading: Context | None = None
        self._stamp: SettingsStamp | None = None

    def open(self, **overrides: Any) -> Context:
        """Open the workspace anew, with its settings as they are now; see `Context`."""
        from autointerp.project.context import Context
        from autointerp.project.following import FollowedProgress
        from autointerp.project.workspace import WorkspaceFolder

        workspace = WorkspaceFolder(self.workspace)
        return Context(workspace, FollowedProgress(self.progress, workspace), **overrides)

    @property
    def reading(self) -> Context:
        """The workspace to read, opened once: its model stays loaded from task to task. Nothing is written by it."""
        if self._reading is None:
            self._stamp = settings_stamp(self.workspace)
            ctx = self.open()
            if ctx.db.is_sqlite:
                ctx.db.forbid_writing()
            self._reading = ctx
        return self._reading

    def renew(self) -> None:
        """Let the next task open the workspace anew, with its model, if the settings have changed."""
        if self._reading is not None and settings_stamp(self.workspace) != self._stamp:
            self._reading.workspace.close()
            self._reading = None
            self.kept.clear()


TaskFunction = Callable[[Workbench, dict[str, Any]], Message]
"""Does a task. An `AutointerpError` becomes the ticket's error, a `KeyboardInterrupt` is raised where it is stopped."""

TASKS: Registry[Kind[TaskFunction]] = Registry(
    "task",
    [
        Kind("warm", "load the model", "autointerp.web.workers.painting:warm"),
        Kind("plan-job", "what a job would take", "autointerp.web.workers.jobs:plan"),
        Kind("job", "labeling or scoring", "autointerp.web.workers.jobs:carry_out"),
        Kind("paint", "pictures under changes of features", "autointerp.web.workers.painting:paint"),
        Kind("read", "what is active in a picture", "autointerp.web.workers.reading:read"),
    ],
)
"""What a worker process can do."""
