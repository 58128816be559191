"""The catalog: a few columns of every feature in memory, so that a hundred thousand are filtered and sorted at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autointerp.db import queries
from autointerp.db.queries.scores import CHANCE, FLOORED, HEADLINE, ScoreFloor
from autointerp.errors import UsageError, nearest
from autointerp.views.counting import labels_that_count

if TYPE_CHECKING:
    from autointerp.db import Session
    from autointerp.db.models import LabelStatus
    from autointerp.db.queries.catalog import FeatureLine, ScoreLine
    from autointerp.db.queries.labels import BestLabel

STATES = ("live", "dead", "dense")
_LABELED: tuple[LabelStatus, ...] = ("ok", "uninterpretable", "failed")
STATUSES = ("unlabeled", *_LABELED)
SORTS = {
    "number": "number",
    "score": "score",
    "doubt": "doubt",
    "frequent": "most frequent",
    "rare": "rarest",
    "strong": "strongest activation",
    "name": "name",
}
"""Each order of a list of features, with its words."""


_LINE = np.dtype(
    [
        *(("ids", "<i8"), ("dictionaries", "<i8"), ("latents", "<i8"), ("states", "i1")),
        *(("densities", "<f4"), ("peaks", "<f4"), ("steps", "<i2")),
    ]
)
"""The columns of a feature, named as those of the catalog."""
_SCORE = np.dtype([("label", "<i8"), ("method", "i1"), ("value", "<f4"), ("low", "<f4")])


@dataclass(frozen=True)
class CatalogFilters:
    """Conditions that a feature must meet to be listed. A filter that is None lets every feature pass.

    Attributes:
        dictionaries: Ids of the dictionaries.
        state: Only features that are `live`, `dead` or `dense`.
        status: Only features whose label is `ok`, `uninterpretable` or `failed`, or that are `unlabeled`.
        min_score: Only features whose label reaches this score, of a method that can stand for a label.
        step: Only features that fire most at this denoising step.
        density: Only features whose density lies in this range, both ends included.
        min_doubt: Only features whose name is at least this doubtful, from 0 to 1.
        places: Only features at these places of the catalog.

    Raises:
        UsageError: A state, status or score does not exist here.
    """

    dictionaries: Collection[int] | None = None
    state: str | None = None
    status: str | None = None
    min_score: ScoreFloor | None = None
    step: int | None = None
    density: tuple[float, float] | None = None
    min_doubt: float | None = None
    places: Collection[int] | None = None

    def __post_init__(self) -> None:
        for what, given, known in (("state", self.state, STATES), ("status", self.status, STATUSES)):
            if given is not None and given not in known:
                raise UsageError(f"there is no {what} {given!r}", nearest(given, known))
        if self.min_score is not None and self.min_score.method not in ("", *HEADLINE):
            raise UsageError(f"lists know no score {self.min_score.method!r}", f"known: {', '.join(HEADLINE)}")


class CatalogPage(NamedTuple):
    """A part of a list of features: their places in the catalog, and how many features the whole list has."""

    places: list[int]
    total: int
    has_more: bool


class _Shown(NamedTuple):
    """What the catalog keeps of the label that counts for a feature."""

    label_id: int
    status: str
    name: str
    is_human: bool


@dataclass
class FeatureCatalog:
    """The columns of all features, by dictionary and latent. Arrays have one entry a feature.

    Attributes:
        ids: Ids of the features, int64.
        dictionaries: Ids of their dictionaries, int64.
        latents: Indexes of their latents, int64.
        states: Places in `STATES`, int8.
        densities: Shares of cells in which they are active, float32.
        peaks: Their largest activations, float32.
        steps: The denoising steps at which they fire most, int16; -1 for a dead feature.
        label_ids: Ids of the labels that count, int64; 0 where there is none.
        statuses: Places in `STATUSES`, int8.
        scores: Newest scores of those labels, float32 [len(HEADLINE), n]; nan where there is none.
        doubts: How doubtful the names are, float32; nan where there is no name. See `doubt_of`.
        names: The names; empty where there is none.
    """

    ids: np.ndarray
    dictionaries: np.ndarray
    latents: np.ndarray
    states: np.ndarray
    densities: np.ndarray
    peaks: np.ndarray
    steps: np.ndarray
    label_ids: np.ndarray
    statuses: np.ndarray
    scores: np.ndarray
    doubts: np.ndarray
    names: list[str]
    _by_id: np.ndarray
    _orders: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    _namesakes: dict[str, list[int]] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def read(cls, session: Session, labelers: Collection[int] | None = None) -> FeatureCatalog:
        """Read all features with the labels that count, among those of all labelers or of `labelers` alone."""
        # Rows go into columns one by one: as objects, all of them together would take hundreds of megabytes.
        lines = np.fromiter(map(_columns, queries.catalog.feature_lines(session)), _LINE)
        count = len(lines)
        catalog = cls(
            ids=lines["ids"].copy(),
            dictionaries=lines["dictionaries"].copy(),
            latents=lines["latents"].copy(),
            states=lines["states"].copy(),
            densities=lines["densities"].copy(),
            peaks=lines["peaks"].copy(),
            steps=lines["steps"].copy(),
            label_ids=np.zeros(count, np.int64),
            statuses=np.zeros(count, np.int8),
            scores=np.full((len(HEADLINE), count), np.nan, np.float32),
            doubts=np.full(count, np.nan, np.float32),
            names=[""] * count,
            _by_id=np.argsort(lines["ids"], kind="stable"),
        )
        catalog._take_labels(session, labelers)
        return catalog

    def _take_labels(self, session: Session, labelers: Collection[int] | None) -> None:
        """Read the labels that count of all features, with their scores."""
        shown = labels_that_count(session, labelers)
        people = {row.id for row in queries.labelers.with_labels(session) if row.kind == queries.labels.HUMAN}
        is_human = np.zeros(len(self), bool)
        places = _found(self.ids, self._by_id, np.fromiter(shown, np.int64, len(shown)))
        for place, label in zip(places.tolist(), shown.values(), strict=True):
            if place >= 0:
                self.label_ids[place], self.statuses[place] = label.id, STATUSES.index(label.status)
                self.names[place] = label.name if label.status == "ok" else ""
                is_human[place] = label.labeler_id in people
        lows = np.full_like(self.scores, np.nan)
        scores = np.fromiter(
            ((one.label_id, HEADLINE.index(one.method), one.value, one.ci_low) for one in _known(session)), _SCORE
        )
        at = _found(self.label_ids, np.argsort(self.label_ids, kind="stable"), scores["label"])
        # Lines come oldest first, and of several of one label and method the last one stays.
        where = scores["method"][at >= 0], at[at >= 0]
        self.scores[where], lows[where] = scores["value"][at >= 0], scores["low"][at >= 0]
        is_named = self.statuses == STATUSES.index("ok")
        self.doubts[is_named] = _doubts(self.scores[:, is_named], lows[:, is_named], is_human[is_named])

    def refresh(self, session: Session, feature_ids: Iterable[int], labelers: Collection[int] | None = None) -> None:
        """Read the labels and scores of a few features again."""
        for feature_id in feature_ids:
            place = self.place_of(feature_id)
            if place is None:
                continue
            dictionary = int(self.dictionaries[place])
            best = queries.labels.best(session, dictionary, labelers, _LABELED, [feature_id]).get(feature_id)
            if best is None:
                self._set(place, _Shown(0, "unlabeled", "", False), {})
                continue
            found = queries.scores.of_labels(session, [best.label.id]).get(best.label.id, [])
            values = {s.method: (s.value, s.ci_low) for s in found if s.method in HEADLINE and s.value is not None}
            self._set(place, _shown(best), values)
        self._orders, self._namesakes = {}, None

    def _set(self, place: int, one: _Shown, scores: dict[str, tuple[float, float | None]]) -> None:
        self.label_ids[place], self.names[place] = one.label_id, one.name
        self.statuses[place] = STATUSES.index(one.status)
        for row, method in enumerate(HEADLINE):
            self.scores[row, place] = scores[method][0] if method in scores else np.nan
        self.doubts[place] = doubt_of(one.is_human, scores) if one.status == "ok" else np.nan

    def place_of(self, feature_id: int) -> int | None:
        """Return the place of a feature; None where the catalog lacks it."""
        (place,) = _found(self.ids, self._by_id, np.array([feature_id])).tolist()
        return None if place < 0 else int(place)

    def headline(self, place: int) -> tuple[float | None, str]:
        """Return the one figure that stands for a feature's label, and its method; None and empty without one."""
        for row, method in enumerate(HEADLINE):
            value = float(self.scores[row, place])
            if not np.isnan(value):
                return round(value, 4), method
        return None, ""

    def passing(self, filters: CatalogFilters) -> np.ndarray:
        """Return which features pass, bool [n]."""
        passes = np.ones(len(self), bool)
        if filters.dictionaries is not None:
            passes &= np.isin(self.dictionaries, list(filters.dictionaries))
        if filters.state is not None:
            passes &= self.states == STATES.index(filters.state)
        if filters.status is not None:
            passes &= self.statuses == STATUSES.index(filters.status)
        if filters.min_score is not None:
            passes &= self._reaching(filters.min_score)
        if filters.step is not None:
            passes &= self.steps == filters.step
        if filters.density is not None:
            low, high = filters.density
            # The ends come from a slider, in fewer digits than float32 has.
            passes &= (self.densities >= low * (1 - 1e-6)) & (self.densities <= high * (1 + 1e-6))
        if filters.min_doubt is not None:
            passes &= np.nan_to_num(self.doubts, nan=-1.0) >= filters.min_doubt
        if filters.places is not None:
            listed = np.zeros(len(self), bool)
            listed[list(filters.places)] = True
            passes &= listed
        return passes

    def _reaching(self, floor: ScoreFloor) -> np.ndarray:
        if floor.method:
            values = self.scores[HEADLINE.index(floor.method)]
            return np.asarray(np.nan_to_num(values, nan=-np.inf) >= np.float32(floor.value))
        values = np.full(len(self), np.nan, np.float32)
        for method in FLOORED:
            values = np.where(np.isnan(values), self.scores[HEADLINE.index(method)], values)
        return np.asarray((np.nan_to_num(values, nan=0.0) >= np.float32(floor.value)) & (self.statuses == 1))

    def page(self, filters: CatalogFilters, sort: str, count: int, after: int | None = None) -> CatalogPage:
        """Return the next features of a list.

        Args:
            filters: Which features are listed.
            sort: One of `SORTS`.
            count: Features at most.
            after: Id of the feature after which to go on; None begins. It need not pass the filters any more.

        Raises:
            UsageError: There is no such order.
        """
        order, places_in_order = self._order(sort)
        passes = self.passing(filters)
        start = 0
        if after is not None and (place := self.place_of(after)) is not None:
            start = int(places_in_order[place]) + 1
        rest = order[start:]
        found = rest[passes[rest]]
        return CatalogPage(found[:count].tolist(), int(passes.sum()), len(found) > count)

    def around(self, filters: CatalogFilters, sort: str, feature_id: int) -> tuple[int | None, int | None]:
        """Return the places of the features before and after a feature in a list; None at its ends."""
        place = self.place_of(feature_id)
        if place is None:
            return None, None
        order, places_in_order = self._order(sort)
        passes, at = self.passing(filters), int(places_in_order[place])
        before, behind = order[:at], order[at + 1 :]
        before, behind = before[passes[before]], behind[passes[behind]]
        return (int(before[-1]) if len(before) else None, int(behind[0]) if len(behind) else None)

    def namesakes(self, place: int, count: int = 12) -> list[int]:
        """Return the places of other features of the same name, in any case of letters."""
        if self._namesakes is None:
            self._namesakes = {}
            for other, name in enumerate(self.names):
                if name:
                    self._namesakes.setdefault(name.lower(), []).append(other)
        same = self._namesakes.get(self.names[place].lower(), [])
        return [other for other in same if other != place][:count]

    def _order(self, sort: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the places in an order, and the place in that order of each feature; both int64 [n]."""
        if sort not in SORTS:
            raise UsageError(f"features have no order {sort!r}", nearest(sort, SORTS))
        if sort not in self._orders:
            order = np.lexsort(self._keys(sort)[::-1]) if len(self) else np.zeros(0, np.int64)
            inverse = np.empty_like(order)
            inverse[order] = np.arange(len(order))
            self._orders[sort] = (order, inverse)
        return self._orders[sort]

    def _keys(self, sort: str) -> Sequence[np.ndarray]:
        """Return the keys of an order, the first one first; the place in the catalog breaks ties."""
        place = np.arange(len(self))
        if sort == "score":
            # Scores of different methods are never ranked together: the more telling method comes first.
            known = ~np.isnan(self.scores)
            rank = np.where(known.any(0), known.argmax(0), len(HEADLINE))
            value = np.where(known.any(0), self.scores[known.argmax(0), place], 0.0)
            return rank, -value, place
        if sort == "doubt":
            # What fires often matters more, where two names are as doubtful.
            return -np.nan_to_num(self.doubts, nan=-1.0).round(2), -self.densities, place
        if sort == "name":
            names = np.array([name.lower() for name in self.names], dtype=object)
            ordered = {name: number for number, name in enumerate(sorted(set(names)))}
            return np.array([not name for name in names]), np.array([ordered[name] for name in names]), place
        dead = self.states == STATES.index("dead")
        keys = {"frequent": -self.densities, "rare": self.densities, "strong": -self.peaks}
        return (dead, keys[sort], place) if sort in keys else (place,)


def doubt_of(is_human: bool, scores: dict[str, tuple[float, float | None]]) -> float:
    """Return how doubtful a name is, from 0 to 1.

    It is the part of the way from chance to a perfect score that the lower end of the score's 95% interval does not
    reach. Nobody doubts the name that a person gave; a name without a score is wholly open to doubt.

    Args:
        is_human: A person gave the name.
        scores: Method -> value and lower end of its interval.
    """
    known = [scores.get(method, (np.nan, None)) for method in HEADLINE]
    values, lows = (np.array([[one[end]] for one in known], np.float64) for end in (0, 1))
    return float(_doubts(values, lows, np.array([is_human]))[0])


def _doubts(values: np.ndarray, lows: np.ndarray, is_human: np.ndarray) -> np.ndarray:
    """Return how doubtful names are, [n]; see `doubt_of`. Values and lower ends are [len(HEADLINE), n], or nan."""
    doubts = np.ones(len(is_human))
    for row, method in reversed(list(enumerate(HEADLINE))):
        low = np.where(np.isnan(lows[row]), values[row], lows[row])
        found = 1.0 - np.clip((low - CHANCE[method]) / (1 - CHANCE[method]), 0.0, 1.0)
        doubts = np.where(np.isnan(values[row]), doubts, found)
    return np.where(is_human, 0.0, doubts)


def _found(ids: np.ndarray, order: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the place of each wanted id among ids, int64; -1 where it is not there. `order` sorts the ids."""
    if not len(ids):
        return np.full(len(wanted), -1)
    at = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return np.where(ids[at] == wanted, at, -1)


def _columns(line: FeatureLine) -> tuple[int, int, int, int, float, float, int]:
    """Return a feature's entry of `_LINE`."""
    step = int(max(line.steps, key=line.steps.__getitem__)) if line.steps else -1
    state = STATES.index(line.state)
    return line.id, line.dictionary_id, line.latent_index, state, line.density, line.max_activation, step


def _known(session: Session) -> Iterator[ScoreLine]:
    """Yield the scores that can stand for a label; a lower end that is not known is nan."""
    for line in queries.catalog.score_lines(session):
        yield line if line.ci_low is not None else line._replace(ci_low=np.nan)


def _shown(best: BestLabel) -> _Shown:
    label = best.label
    is_human = best.labeler.kind == queries.labels.HUMAN
    return _Shown(label.id, label.status, label.name if label.status == "ok" else "", is_human)
