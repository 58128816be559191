"""The catalogs of a workspace, one for each choice of labelers, kept as fresh as the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autointerp.db import DatabaseError, queries
from autointerp.views.catalog import FeatureCatalog
from autointerp.views.stamps import Stamps

if TYPE_CHECKING:
    from autointerp.db.engine import Database
    from autointerp.db.queries.catalog import Stamp

LOOK_AGAIN_SECONDS = 1.0
"""How long a catalog is taken to be fresh without asking the database."""
_PATIENCE = 10.0
"""A catalog is read again at most once in this many times the time that reading it takes."""
_MOST = 3
"""Catalogs that are kept."""

_Key = tuple[int, ...] | None


@dataclass
class _Kept:
    catalog: FeatureCatalog
    stamp: Stamp
    looked_at: float
    read_at: float
    took: float
    is_renewed: bool = False


class Catalogs:
    """Hands out catalogs. May be asked by several threads.

    The first reader of a catalog waits for it. Later, a thread of its own reads what changed, and readers get the
    earlier catalog meanwhile.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self.db, self.stamps = db, Stamps(db)
        self._lock = threading.RLock()
        self._kept: dict[_Key, _Kept] = {}
        self._changed: list[int] = []
        """Features that were read again while a thread reads a catalog."""
        self.renewing: threading.Thread | None = None
        """The thread that reads a catalog again; None while there is none."""

    def get(self, labelers: Iterable[int] | None = None) -> FeatureCatalog:
        """Return the catalog of the labels that count among those of all labelers, or of some.

        While another process labels, the catalog may be some seconds old.
        """
        key = None if labelers is None else tuple(sorted(labelers))
        with self._lock:
            kept, now = self._kept.get(key), time.monotonic()
            if kept is None:
                return self._read(key)
            if kept.is_renewed or now - kept.looked_at < LOOK_AGAIN_SECONDS:
                return kept.catalog
            kept.looked_at = now
            if now - kept.read_at < _PATIENCE * kept.took or self.renewing is not None:
                return kept.catalog
            if kept.stamp == self.stamps.now():
                return kept.catalog
            kept.is_renewed, self._changed = True, []
            self.renewing = threading.Thread(target=self._renew, args=(key, kept), daemon=True)
            self.renewing.start()
            return kept.catalog

    def refresh(self, feature_ids: Iterable[int]) -> None:
        """Read the labels of a few features again, after this process changed them."""
        ids = list(feature_ids)
        with self._lock, self.db.session() as session:
            stamp = queries.catalog.stamp(session)
            self._changed += ids
            for key, kept in self._kept.items():
                kept.catalog.refresh(session, ids, key)
                kept.stamp = stamp

    def _renew(self, key: _Key, kept: _Kept) -> None:
        """Read a catalog in a thread of its own."""
        try:
            fresh = self._of_database(key)
            with self._lock, self.db.session() as session:
                fresh.catalog.refresh(session, self._changed, key)
                self._keep(key, fresh)
        except DatabaseError:
            # The next request asks the database itself, and tells what it says.
            kept.is_renewed = False
        finally:
            self.renewing = None

    def _read(self, key: _Key) -> FeatureCatalog:
        fresh = self._of_database(key)
        self._keep(key, fresh)
        return fresh.catalog

    def _of_database(self, key: _Key) -> _Kept:
        begun = time.monotonic()
        with self.db.session() as session:
            stamp = queries.catalog.stamp(session)
            catalog = FeatureCatalog.read(session, key)
        done = time.monotonic()
        return _Kept(catalog, stamp, done, done, done - begun)

    def _keep(self, key: _Key, fresh: _Kept) -> None:
        self._kept.pop(key, None)
        self._kept[key] = fresh
        for oldest in list(self._kept)[:-_MOST]:
            del self._kept[oldest]
