"""The features of a dictionary by what their names are beside the truth. Known of shapes alone.

A verdict that nobody asked for yet takes some milliseconds, and a dictionary has hundreds. So a thread finds them, and
readers are told meanwhile how far it is.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autointerp.db import queries
from autointerp.views.known_truths import VERDICTS, KnownTruths

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow
    from autointerp.views.catalog import FeatureCatalog
    from autointerp.views.known_truths import DictionaryTruths

NO_TRUTH, NO_NAME = "no truth", "no name"
KINDS = {
    **VERDICTS,
    NO_TRUTH: "The feature has a name, and no concept holds in enough of the cells in which it fires.",
    NO_NAME: "The feature has a truth, and no name.",
}
"""What a feature can be here, each with its meaning."""


class _Feature(NamedTuple):
    """A feature with a name or a truth: its place in the catalog, its latent, and both."""

    place: int
    latent: int
    name: str
    truth: str


@dataclass(frozen=True)
class TruthList:
    """The features of a dictionary that have a name or a truth.

    Attributes:
        done: Features whose verdict is known.
        total: Features in all.
        places: Kind, one of `KINDS` -> places in the catalog, in the order of the latents; empty until all are known.
        truths: Place -> the truth; without those that have none.
    """

    done: int
    total: int
    places: dict[str, list[int]]
    truths: dict[int, str]

    @property
    def is_whole(self) -> bool:
        """Whether all verdicts are known."""
        return self.done == self.total

    @property
    def counts(self) -> dict[str, int]:
        """How many features there are of each kind."""
        return {kind: len(self.places.get(kind, ())) for kind in KINDS}


class TruthPlaces(NamedTuple):
    """Places in the catalog, of features whose verdict is known: that of `done` of `total`."""

    places: list[int]
    done: int
    total: int


class BesideTruth(NamedTuple):
    """What a feature is beside its truth: its kind, empty where it is not known yet, and the truth, or empty."""

    kind: str
    truth: str


class TruthLists:
    """Hands out the list of each dictionary. May be asked by several threads.

    Args:
        truths: The truths of the workspace.
    """

    def __init__(self, truths: KnownTruths) -> None:
        self.truths = truths
        self._lock = threading.Lock()
        self._working: dict[int, threading.Thread] = {}

    def dictionaries(self) -> list[str]:
        """Return the names of the dictionaries whose truths are known, oldest first."""
        return list(self._evaluated())

    def _evaluated(self) -> dict[str, int]:
        """Return the names and ids of those dictionaries."""
        ctx = self.truths.ctx
        if ctx.world.truth is None:
            return {}
        with ctx.db.session() as session:
            rows = queries.dictionaries.list_all(session)
            return {row.name: row.id for row in rows if queries.runs.last_done_id(session, "evaluate", row.id)}

    def get(self, dictionary: str, catalog: FeatureCatalog) -> TruthList | None:
        """Return a dictionary's list as far as it is known; None where no truth is known at all.

        Raises:
            UsageError: There is no such dictionary.
        """
        row = self.truths.ctx.dictionary_named(dictionary)
        truths = self.truths.of_dictionary(row.id)
        if truths is None:
            return None
        features = _features(row, catalog, truths)
        asked = [one for one in features if one.name and one.truth]
        missing = list(dict.fromkeys((o.name, o.truth) for o in asked if not truths.has_verdict(o.name, o.truth)))
        if missing:
            self._find(row.id, truths, missing)
            left = Counter((one.name, one.truth) for one in asked)
            return TruthList(len(features) - sum(left[pair] for pair in missing), len(features), {}, {})
        places: dict[str, list[int]] = {}
        for one in features:
            places.setdefault(_kind(truths, one.name, one.truth), []).append(one.place)
        return TruthList(len(features), len(features), places, {one.place: one.truth for one in features if one.truth})

    def of_kind(self, kind: str, catalog: FeatureCatalog, dictionaries: Collection[int] | None) -> TruthPlaces:
        """Return the places of the features of a kind, in some dictionaries or in all, as far as they are known."""
        places: list[int] = []
        done = total = 0
        for name, row_id in self._evaluated().items():
            if dictionaries is None or row_id in dictionaries:
                found = self.get(name, catalog)
                if found is not None:
                    places += found.places.get(kind, ())
                    done, total = done + found.done, total + found.total
        return TruthPlaces(places, done, total)

    def beside(self, catalog: FeatureCatalog, places: Sequence[int]) -> list[BesideTruth | None]:
        """Return what each feature is beside its truth; None where no truth is known.

        A verdict that nobody asked for yet is left empty, and is found meanwhile.
        """
        wanted = {int(catalog.dictionaries[place]) for place in places}
        truths = {row_id: self.truths.of_dictionary(row_id) for row_id in wanted}
        found: list[BesideTruth | None] = []
        missing: dict[int, list[tuple[str, str]]] = {}
        for place in places:
            row_id, latent, name = int(catalog.dictionaries[place]), int(catalog.latents[place]), catalog.names[place]
            own = truths[row_id]
            if own is None:
                found.append(None)
                continue
            truth = own.truth(latent)
            if truth and name and not own.has_verdict(name, truth):
                missing.setdefault(row_id, []).append((name, truth))
                found.append(BesideTruth("", truth))
            else:
                found.append(BesideTruth(_kind(own, name, truth) if name or truth else "", truth))
        for row_id, pairs in missing.items():
            if (own := truths[row_id]) is not None:
                self._find(row_id, own, pairs)
        return found

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the threads that find verdicts are done, for some seconds each at most."""
        for thread in list(self._working.values()):
            thread.join(seconds)

    def _find(self, dictionary_id: int, truths: DictionaryTruths, missing: Sequence[tuple[str, str]]) -> None:
        """Let a thread find verdicts, unless one does already."""
        with self._lock:
            before = self._working.get(dictionary_id)
            if before is not None and before.is_alive():
                return
            thread = threading.Thread(target=_find_all, args=(truths, missing), daemon=True)
            self._working[dictionary_id] = thread
            thread.start()


def _find_all(truths: DictionaryTruths, missing: Sequence[tuple[str, str]]) -> None:
    for name, concept in missing:
        truths.verdict(name, concept)


def _kind(truths: DictionaryTruths, name: str, truth: str) -> str:
    """Return the kind of a feature with a name or a truth."""
    return NO_TRUTH if not truth else NO_NAME if not name else truths.verdict(name, truth)


def _features(row: DictionaryRow, catalog: FeatureCatalog, truths: DictionaryTruths) -> list[_Feature]:
    """Return the features of a dictionary that have a name or a truth, in the order of their latents."""
    found = []
    for place in np.flatnonzero(catalog.dictionaries == row.id).tolist():
        latent = int(catalog.latents[place])
        name, truth = catalog.names[place], truths.truth(latent)
        if name or truth:
            found.append(_Feature(place, latent, name, truth))
    return found
