"""The scope of a search: filters, and the dictionaries and features that pass them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.db.models import DictionaryRow
from autointerp.db.queries.scores import ScoreFloor
from autointerp.errors import AutointerpError, UsageError
from autointerp.project.context import Context
from autointerp.project.labeler_names import chosen_labelers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from autointerp.db import Session

STATES = ("live", "dead", "dense")


@dataclass(frozen=True)
class SearchFilters:
    """Conditions that a feature must meet to be found. A filter that is None lets every feature pass.

    Attributes:
        layer: Only the layer's newest dictionary.
        dictionary: Only the dictionary of this name.
        labeler: Only features that this labeler has named, under its names.
        min_score: Only features whose label reaches this score.
        state: Only features that are `live`, `dead` or `dense`.
        step: Only features that fire most at this denoising step.
        density: Only features whose density lies in this range, both ends included.

    Raises:
        UsageError: There is no such state.
    """

    layer: str | None = None
    dictionary: str | None = None
    labeler: str | None = None
    min_score: ScoreFloor | None = None
    state: str | None = None
    step: int | None = None
    density: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.state is not None and self.state not in STATES:
            raise UsageError(f"there is no state {self.state!r}", f"known: {', '.join(STATES)}")

    @property
    def exclude_features(self) -> bool:
        """Some features of a dictionary may be left out, so that the features that pass have to be listed."""
        return any(given is not None for given in (self.labeler, self.min_score, self.state, self.step, self.density))


@dataclass(frozen=True)
class SearchScope:
    """The dictionaries, labels and features of a search, after its filters are applied.

    Attributes:
        dictionaries: At least one, detached.
        labelers: Ids of the labelers whose labels alone are searched; None for the labels that count.
        features: Ids of the features that pass the filters, ascending, int64 [n]; None for all features.
    """

    dictionaries: tuple[DictionaryRow, ...]
    labelers: Sequence[int] | None = None
    features: np.ndarray | None = None

    @property
    def dictionary_ids(self) -> list[int]:
        """Ids of the dictionaries."""
        return [dictionary.id for dictionary in self.dictionaries]


def find_scope(ctx: Context, filters: SearchFilters) -> SearchScope:
    """Apply the filters to a workspace.

    Raises:
        UsageError: A name in the filters does not exist.
        AutointerpError: There is no dictionary.
    """
    dictionaries = searched_dictionaries(ctx, filters)
    labelers = chosen_labelers(ctx, filters.labeler)
    scope = SearchScope(tuple(dictionaries), labelers)
    if not filters.exclude_features:
        return scope
    return SearchScope(scope.dictionaries, labelers, _passing_features(ctx, scope, filters))


def searched_dictionaries(ctx: Context, filters: SearchFilters) -> list[DictionaryRow]:
    """Find the named dictionary, the newest of the layer, or all dictionaries; detached.

    Raises:
        UsageError: A name in the filters does not exist, or the dictionary is of another layer.
        AutointerpError: There is no dictionary.
    """
    layer = filters.layer
    if filters.dictionary is not None:
        rows = [ctx.dictionary_named(filters.dictionary)]
        if layer is not None and layer not in (rows[0].layer, rows[0].hookpoint):
            raise UsageError(f"{rows[0].name} is of layer {rows[0].layer}, not {layer}", "leave --layer out")
    elif layer is None:
        with ctx.db.session() as session:
            rows = queries.dictionaries.list_all(session)
            session.expunge_all()
    else:
        name = ctx.settings.dictionary.names.get(layer)
        row = ctx.dictionary_named(name) if name else ctx.dictionary_of(layer)
        rows = [] if row is None else [row]
    if not rows:
        where = f" of layer {layer}" if layer else ""
        raise AutointerpError(
            f"there is no labeled dictionary{where} here", f"run `autointerp label --layer {layer or 'mid'}` first"
        )
    return rows


def _passing_features(ctx: Context, scope: SearchScope, filters: SearchFilters) -> np.ndarray:
    """Read the ids of the features that pass, ascending, int64 [n]."""
    import numpy as np

    with ctx.db.session() as session:
        steps = queries.features.steps_by_id(session, scope.dictionary_ids, filters.state, filters.density)
        passing = {feature for feature, shares in steps.items() if _fires_most_at(shares, filters.step)}
        if scope.labelers is not None or filters.min_score is not None:
            passing &= _labeled(session, scope, filters.min_score)
    return np.array(sorted(passing), np.int64)


def _fires_most_at(shares: Mapping[str, float], step: int | None) -> bool:
    """Tell whether no other denoising step has a larger share of the feature's activation."""
    return step is None or (str(step) in shares and shares[str(step)] >= max(shares.values()))


def _labeled(session: Session, scope: SearchScope, min_score: ScoreFloor | None) -> set[int]:
    """Read the ids of the features that have a name, and a score that is high enough."""
    best = {
        feature: found
        for dictionary in scope.dictionary_ids
        for feature, found in queries.labels.best(session, dictionary, scope.labelers).items()
    }
    if min_score is None:
        return set(best)
    scores = queries.scores.of_labels(session, [found.label.id for found in best.values()])
    return {feature for feature, found in best.items() if min_score.reached_by(scores.get(found.label.id, []))}
