"""The catalogs of a workspace, one for each choice of labelers, kept as fresh as the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.views.catalog import FeatureCatalog

if TYPE_CHECKING:
    from autointerp.db.engine import Database
    from autointerp.db.queries.catalog import Stamp

LOOK_AGAIN_SECONDS = 1.0
"""How long a catalog is taken to be fresh without asking the database."""
_PATIENCE = 10.0
"""A catalog is read again at most once in this many times the time that reading it takes."""
_MOST = 3
"""Catalogs that are kept."""


@dataclass
class _Kept:
    catalog: FeatureCatalog
    stamp: Stamp
    looked_at: float
    read_at: float
    took: float


class Catalogs:
    """Hands out catalogs. May be asked by several threads.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self.db = db
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, ...] | None, _Kept] = {}

    def get(self, labelers: Iterable[int] | None = None) -> FeatureCatalog:
        """Return the catalog of the labels that count among those of all labelers, or of some.

        While another process labels, the catalog may be some seconds old: reading it takes a tenth of the time at most.
        """
        key = None if labelers is None else tuple(sorted(labelers))
        with self._lock:
            kept, now = self._kept.get(key), time.monotonic()
            if kept is not None and now - kept.looked_at < LOOK_AGAIN_SECONDS:
                return kept.catalog
            with self.db.session() as session:
                stamp = queries.catalog.stamp(session)
                if kept is not None:
                    kept.looked_at = now
                    if kept.stamp == stamp or now - kept.read_at < _PATIENCE * kept.took:
                        return kept.catalog
                catalog = FeatureCatalog.read(session, key)
            done = time.monotonic()
            self._kept.pop(key, None)
            self._kept[key] = _Kept(catalog, stamp, done, done, done - now)
            for oldest in list(self._kept)[:-_MOST]:
                del self._kept[oldest]
            return catalog

    def refresh(self, feature_ids: Iterable[int]) -> None:
        """Read the labels of a few features again, after this process changed them."""
        ids = list(feature_ids)
        with self._lock, self.db.session() as session:
            stamp = queries.catalog.stamp(session)
            for key, kept in self._kept.items():
                kept.catalog.refresh(session, ids, key)
                kept.stamp = stamp
