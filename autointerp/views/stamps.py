"""What is stored, as a few numbers that change with it, so that readers know when to read again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from autointerp.db import queries

if TYPE_CHECKING:
    from autointerp.db.engine import Database
    from autointerp.db.queries.catalog import Stamp


class Stamps:
    """Takes the stamp of a database: counts and newest ids. May be asked by several threads.

    Counting a hundred thousand rows takes tens of milliseconds, so they are counted only after a commit.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self.db = db
        self._lock = threading.Lock()
        self._version: int | None = None
        self._stamp: Stamp | None = None

    def now(self) -> Stamp:
        """Return the stamp of what is stored now."""
        with self._lock:
            # A commit between the two makes the next version differ, so that nothing is missed.
            version = self.db.version()
            if self._stamp is None or version is None or version != self._version:
                with self.db.session() as session:
                    self._stamp, self._version = queries.catalog.stamp(session), version
            return self._stamp

    def named(self) -> tuple[int, ...]:
        """Return the part that searches depend on. Scores alone change nothing that is searched."""
        return self.now()[:-2]
