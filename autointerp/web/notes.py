"""The progress of a server: its notes are kept for the page that is being made, in place of being printed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from typing_extensions import override

from autointerp.progress import NullProgress


class CollectedNotes(NullProgress):
    """Collects the notes of each thread while it listens. Other notes are dropped."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    @contextmanager
    def listen(self) -> Iterator[list[str]]:
        """Collect the notes of this thread in a list, within the block."""
        before = getattr(self._of_thread, "notes", None)
        notes: list[str] = []
        self._of_thread.notes = notes
        try:
            yield notes
        finally:
            self._of_thread.notes = before

    @override
    def note(self, text: str) -> None:
        """See `Progress`."""
        notes: list[str] | None = getattr(self._of_thread, "notes", None)
        if notes is not None and text not in notes:
            notes.append(text)
