"""Two labelers beside each other: the features that both looked at, and on which of them their names differ."""

from __future__ import annotations

import heapq
from dataclasses import asdict, dataclass
from typing import Any

from autointerp.db import queries
from autointerp.db.queries.compared import SharedResult
from autointerp.db.queries.scores import HEADLINE
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.labeler_names import chosen_labelers

_PAIRS = 60
"""Features that are listed."""

_Values = tuple[float | None, float | None]
_Columns = dict[tuple[str, int], dict[int, float]]


@dataclass(frozen=True)
class LabelPair:
    """What two labelers say of one feature; a name is empty where none fits, a score None without one.

    The scores are of the first method and judge that both labels were scored by.
    """

    feature: str
    names: tuple[str, str]
    method: str
    scores: tuple[float | None, float | None]


@dataclass(frozen=True)
class LabelerComparison:
    """Two labelers over the features that both have a result for. Pairs of values are in the order of `labelers`.

    Attributes:
        labelers: Their names.
        both: Features with a result of both.
        same: Features on which both say the same name.
        named: Features of those that each gave a name.
        scored: Features whose two labels have a score of the same method and judge.
        better: Of those, the features on which each has the higher score.
        pairs: Features on which they differ, the largest gap of scores first.
    """

    labelers: tuple[str, str]
    both: int
    same: int
    named: tuple[int, int]
    scored: int
    better: tuple[int, int]
    pairs: tuple[LabelPair, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison with plain values."""
        return asdict(self)


def compare_labelers(ctx: Context, one: str, other: str, dictionary: str | None = None) -> LabelerComparison:
    """Compare what two labelers say of the same features.

    Args:
        ctx: The workspace.
        one: Name of a labeler, as `--labeler` takes it.
        other: Name of another one.
        dictionary: Only features of this dictionary; None for all.

    Raises:
        UsageError: A name does not exist, or both mean the same labeler.
    """
    first, second = chosen_labelers(ctx, one) or [], chosen_labelers(ctx, other) or []
    if set(first) & set(second):
        raise UsageError(f"{one} and {other} are one labeler", "choose two")
    row = None if dictionary is None else ctx.dictionary_named(dictionary)
    with ctx.db.session() as session:
        names = {row.id: row.name for row in queries.dictionaries.list_all(session)}
        results = list(queries.compared.shared_results(session, first, second, None if row is None else row.id))
        scores = [queries.compared.score_columns(session, own) for own in (first, second)]
    scored = [(one, *_shared_score(one.label_ids, *scores)) for one in results]
    differing = [one for one in scored if one[0].names[0].lower() != one[0].names[1].lower()]
    pairs = [
        LabelPair(f"{names[result.dictionary_id]}:{result.latent_index}", result.names, method, values)
        for result, method, values in heapq.nsmallest(_PAIRS, differing, key=_order)
    ]
    known = [(values[0], values[1]) for _, method, values in scored if method]
    return LabelerComparison(
        labelers=(one, other),
        both=len(results),
        same=sum(result.names[0].lower() == result.names[1].lower() != "" for result in results),
        named=(sum(bool(result.names[0]) for result in results), sum(bool(result.names[1]) for result in results)),
        scored=len(known),
        better=(sum((a or 0) > (b or 0) for a, b in known), sum((a or 0) < (b or 0) for a, b in known)),
        pairs=tuple(pairs),
    )


def _order(one: tuple[SharedResult, str, _Values]) -> tuple[float, int, int]:
    """Return the key that sorts features: the largest gap of scores first, then by dictionary and latent."""
    result, _, (a, b) = one
    gap = 0.0 if a is None or b is None else abs(a - b)
    return -gap, result.dictionary_id, result.latent_index


def _shared_score(labels: tuple[int, int], one: _Columns, other: _Columns) -> tuple[str, _Values]:
    """Return the first method that can stand for a label and by which one judge scored both, with the two values."""
    for method in HEADLINE:
        # Of several judges the newest one that scored both decides.
        for key in reversed(one):
            if key[0] != method or key not in other:
                continue
            a, b = one[key].get(labels[0]), other[key].get(labels[1])
            if a is not None and b is not None:
                return method, (round(a, 4), round(b, 4))
    return "", (None, None)
