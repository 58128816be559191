"""Reciprocal rank fusion: several rankings of the same things become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum

RRF_K = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Buettcher 2009)."""


@dataclass(frozen=True)
class Fused:
    """A thing with its fused score, and its rank (from 1) in each list that holds it."""

    id: int
    score: float
    ranks: dict[str, int] = field(default_factory=dict)


def reciprocal_rank_fusion(
    lists: Mapping[str, Sequence[int]], k: int = RRF_K, weights: Mapping[str, float] | None = None
) -> list[Fused]:
    """Fuse ranked lists of ids, best first: score = sum over lists of weight / (k + rank).

    An id that stands in a list twice counts where it stands first. Equal scores are ordered by the best single rank,
    then by the id, so that the same lists always give the same order.

    Args:
        lists: Name -> ids, best first.
        k: The larger, the less the first ranks count.
        weights: Weight of each list, 1 if not given.
    """
    ranks: dict[int, dict[str, int]] = {}
    for name, ids in lists.items():
        for rank, item in enumerate(dict.fromkeys(ids), 1):
            ranks.setdefault(int(item), {})[name] = rank
    weights = weights or {}
    # The sum is exact before it is rounded, so that the order of the lists changes no score.
    fused = [
        Fused(item, fsum(weights.get(name, 1.0) / (k + rank) for name, rank in where.items()), where)
        for item, where in ranks.items()
    ]
    return sorted(fused, key=lambda f: (-f.score, min(f.ranks.values()), f.id))
