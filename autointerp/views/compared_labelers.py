"""Two labelers beside each other: the features that both looked at, and on which of them their names differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autointerp.db import queries
from autointerp.db.models import Score
from autointerp.db.queries.labels import BestLabel
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.labeler_names import chosen_labelers

_PAIRS = 60
"""Features that are listed."""


@dataclass(frozen=True)
class LabelPair:
    """What two labelers say of one feature; a name is empty where none fits, a score None without one.

    The scores are of the first method and judge that both labels were scored by.
    """

    feature: str
    names: tuple[str, str]
    method: str
    scores: tuple[float | None, float | None]

    @property
    def gap(self) -> float:
        """How far apart the scores are; 0 without two."""
        first, second = self.scores
        return 0.0 if first is None or second is None else abs(first - second)


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
    pairs: list[LabelPair] = []
    with ctx.db.session() as session:
        rows = queries.dictionaries.list_all(session)
        if dictionary is not None:
            rows = [row for row in rows if row.id == ctx.dictionary_named(dictionary).id]
        for row in rows:
            said = [_results(queries.labels.current(session, row.id, own)) for own in (first, second)]
            shared = [feature for feature in said[0] if feature in said[1]]
            latents = queries.features.latent_indexes(session, shared)
            ids = [each[feature].label.id for feature in shared for each in said]
            scores = queries.scores.of_labels(session, ids)
            for feature in shared:
                a, b = (each[feature].label for each in said)
                method, values = _shared_score(scores.get(a.id, []), scores.get(b.id, []))
                names = tuple(label.name if label.status == "ok" else "" for label in (a, b))
                pairs.append(LabelPair(f"{row.name}:{latents[feature]}", (names[0], names[1]), method, values))
    scored = [pair for pair in pairs if pair.method]
    differing = [pair for pair in pairs if pair.names[0].lower() != pair.names[1].lower()]
    differing.sort(key=lambda pair: -pair.gap)
    return LabelerComparison(
        labelers=(one, other),
        both=len(pairs),
        same=sum(pair.names[0].lower() == pair.names[1].lower() != "" for pair in pairs),
        named=(sum(bool(pair.names[0]) for pair in pairs), sum(bool(pair.names[1]) for pair in pairs)),
        scored=len(scored),
        better=(
            sum((pair.scores[0] or 0) > (pair.scores[1] or 0) for pair in scored),
            sum((pair.scores[0] or 0) < (pair.scores[1] or 0) for pair in scored),
        ),
        pairs=tuple(differing[:_PAIRS]),
    )


def _results(said: dict[int, list[BestLabel]]) -> dict[int, BestLabel]:
    """Return the newest result of each feature, without failures."""
    newest = {feature: [one for one in several if one.label.status != "failed"] for feature, several in said.items()}
    return {feature: several[-1] for feature, several in newest.items() if several}


def _shared_score(one: Sequence[Score], other: Sequence[Score]) -> tuple[str, tuple[float | None, float | None]]:
    """Return the first method that can stand for a label and by which one judge scored both, with the two values."""
    for method in queries.scores.HEADLINE:
        by_judge = [
            {score.judge_id: score.value for score in several if score.method == method and score.value is not None}
            for several in (one, other)
        ]
        for judge in reversed(list(by_judge[0])):
            if judge in by_judge[1]:
                return method, (round(by_judge[0][judge], 4), round(by_judge[1][judge], 4))
    return "", (None, None)
