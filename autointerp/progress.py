"""Progress of long work. Library functions take a `Progress` as a parameter, and never print.

On a terminal, progress is a bar with rate and time left; elsewhere, a log line every 30 seconds. Both go to stderr, so
that stdout carries data alone.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from typing_extensions import override

from autointerp.texts import visible


class Task(Protocol):
    """One piece of long work under way."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more units as done; `note` replaces the text behind the bar."""
        ...


class Progress(Protocol):
    """The receiver of reports on long work."""

    @contextmanager
    def task(self, what: str, total: int, done: int = 0, unit: str = "it") -> Iterator[Task]:
        """Open a bar for `total` units, of which `done` are done already."""
        ...

    def note(self, text: str) -> None:
        """Show a line of text, besides the bars."""
        ...


class _Quiet:
    def advance(self, n: int = 1, note: str = "") -> None:
        pass


class NullProgress(Progress):
    """A progress that shows nothing: the default of every library function."""

    @contextmanager
    @override
    def task(self, what: str, total: int, done: int = 0, unit: str = "it") -> Iterator[Task]:
        """See `Progress`."""
        yield _Quiet()

    def note(self, text: str) -> None:
        """See `Progress`."""


def note_before_torch(progress: Progress, text: str) -> None:
    """Note what comes next if PyTorch is still to be imported for it, which takes seconds."""
    if "torch" not in sys.modules:
        progress.note(text)


def clock(seconds: float) -> str:
    """Return seconds as minutes and seconds, e.g. `4:05`, with hours where there are any."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class _LogTask:
    """Count units, and write a line whenever `every` seconds have passed."""

    def __init__(self, what: str, total: int, done: int, unit: str, every: float) -> None:
        self.what, self.total, self.done, self.unit, self.every = what, total, done, unit, every
        self.first = done
        self.started = self.spoke = time.monotonic()
        self.text = ""

    def advance(self, n: int = 1, note: str = "") -> None:
        self.done += n
        self.text = visible(note) or self.text
        if time.monotonic() - self.spoke >= self.every:
            self.say()

    def say(self) -> None:
        self.spoke = time.monotonic()
        took = max(self.spoke - self.started, 1e-9)
        rate = (self.done - self.first) / took
        left = f", {clock((self.total - self.done) / rate)} left" if rate > 0 and self.done < self.total else ""
        share = f"{self.done}/{self.total} {self.unit}"
        line = f"{self.what}: {share}, {rate:.3g} {self.unit}/s, {clock(took)} so far{left}"
        print(f"{line}  {self.text}".rstrip(), file=sys.stderr, flush=True)


class LogProgress:
    """A progress of one line every 30 seconds, and one at the end."""

    def __init__(self, every: float = 30.0) -> None:
        self.every = every

    @contextmanager
    def task(self, what: str, total: int, done: int = 0, unit: str = "it") -> Iterator[Task]:
        """See `Progress`."""
        task = _LogTask(what, total, done, unit, self.every)
        yield task
        if task.done > task.first:
            task.say()

    def note(self, text: str) -> None:
        """See `Progress`."""
        print(visible(text), file=sys.stderr, flush=True)


class _BarTask:
    def __init__(self, bar: object, task_id: object) -> None:
        self._bar, self._id = bar, task_id

    def advance(self, n: int = 1, note: str = "") -> None:
        update = {"advance": n, "note": visible(note)} if note else {"advance": n}
        self._bar.update(self._id, **update)  # type: ignore[attr-defined]


class BarProgress:
    """A progress bar on a terminal, with rate and time left."""

    @contextmanager
    def task(self, what: str, total: int, done: int = 0, unit: str = "it") -> Iterator[Task]:
        """See `Progress`."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress as Bars,
            ProgressColumn,
            Task as BarState,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        class Rate(ProgressColumn):
            def render(self, task: BarState) -> Text:
                return Text(f"{task.speed:.3g} {unit}/s" if task.speed else "", style="progress.data.speed")

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
        )
        with Bars(*columns, console=Console(stderr=True)) as bar:
            yield _BarTask(bar, bar.add_task(what, total=total, completed=done, note=""))

    def note(self, text: str) -> None:
        """See `Progress`."""
        print(visible(text), file=sys.stderr, flush=True)


def default_progress(quiet: bool = False) -> Progress:
    """Return a bar where stderr is a terminal that can draw one, else a log; nothing when `quiet`."""
    if quiet:
        return NullProgress()
    return BarProgress() if sys.stderr.isatty() and draws() else LogProgress()


def draws() -> bool:
    """Return whether the terminal can do more than print lines."""
    return os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
