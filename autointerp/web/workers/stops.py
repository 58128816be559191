"""When the task of a worker process may be interrupted: anywhere, or at chosen points while it changes the model.

A stop is a signal. Python may raise it between any two lines, also between two hooks that are removed; the hook that is
left would change every later picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Stops:
    """Raises `KeyboardInterrupt` when a task is stopped. Used in the main thread alone, in which signals arrive."""

    def __init__(self) -> None:
        self._held = 0
        self._is_late = False

    def interrupt(self) -> None:
        """Interrupt the task: here, or where stops are held back, at the next `check`."""
        if not self._held:
            raise KeyboardInterrupt
        self._is_late = True

    def check(self) -> None:
        """Interrupt the task if it was stopped while stops were held back."""
        if self._is_late:
            self._is_late = False
            raise KeyboardInterrupt

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Interrupt the task at `check`, and at the end of the block, alone."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if not self._held:
                self.check()
