"""Progress of a study inside of the one bar of `experiment claims`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from typing_extensions import override

from autointerp.progress import Progress, Task


class StudyProgress(Progress):
    """A progress that counts pictures on another bar, and shows all else behind that bar.

    Args:
        what: The study, which every note begins with.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._bar: Task | None = None
        self._left = 0

    def begin(self, bar: Task, images: int) -> None:
        """Count up to `images` pictures on a bar from now on."""
        self._bar, self._left = bar, images

    def end(self) -> None:
        """Count what is left: pictures that were made in an earlier call, or that nobody reported."""
        if self._bar is not None:
            self._bar.advance(self._left)
        self._bar, self._left = None, 0

    @contextmanager
    @override
    def task(self, what: str, total: int, done: int = 0, unit: str = "it") -> Iterator[Task]:
        """See `Progress`."""
        yield _StudyTask(self, what, total, done, unit == "image")

    def note(self, text: str) -> None:
        """See `Progress`."""
        if self._bar is not None:
            self._bar.advance(0, f"{self.what}: {text}")

    def count(self, images: int) -> None:
        """Count pictures, as far as the bar has room for them."""
        images = min(images, self._left)
        if self._bar is not None and images:
            self._left -= images
            self._bar.advance(images)


class _StudyTask:
    """A piece of a study's work; what was done in earlier calls counts at once."""

    def __init__(self, progress: StudyProgress, what: str, total: int, done: int, of_images: bool) -> None:
        self.progress, self.what, self.total, self.done, self.of_images = progress, what, total, done, of_images
        if of_images:
            progress.count(done)

    def advance(self, n: int = 1, note: str = "") -> None:
        self.done += n
        if self.of_images:
            self.progress.count(n)
        self.progress.note(" ".join(filter(None, (f"{self.what}, {self.done}/{self.total}", note))))
