"""Namesakes: features of one dictionary and labeler whose names are the same or nearly so.

Names are the same if they have the same words, whatever their order of clauses, their articles and plurals. They are
nearly the same if the vectors of the names by the embedder of labels have a cosine of at least `ALIKE`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.labeling.evidence.phrases import Phrase, clauses

ALIKE = 0.95
"""Cosine from which two names are nearly the same. By the embedder of shapes `red circle` and `circle, red` have 0.99,
`red circle` and `small red circle` 0.86, `red circle` and `red square` 0.73."""
NAMESAKES = 5
"""Namesakes of a feature, at most."""
_ROWS = 1024
"""Names that are compared with all others at a time, to bound memory."""


def words_of(name: str) -> frozenset[Phrase]:
    """Return the clauses of a name, each as its content words in lower case and in the singular."""
    return frozenset(tuple(map(_singular, clause)) for clause in clauses(name))


def _singular(word: str) -> str:
    """Return a word without the s of its plural; short words, and those on -ss, -us and -is, keep it."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def namesakes(names: Sequence[str], vectors: np.ndarray | None = None, most: int = NAMESAKES) -> list[tuple[int, ...]]:
    """Return the namesakes of each name, as places in the list, nearest first.

    Those of the same words come before those that are nearly the same. Of equally near ones the next in the list come
    first, and after its end those from its start. So a group of many equal names does not compare all of its members
    with the same few.

    Args:
        names: The names, in a fixed order of their features. An empty one has no namesake.
        vectors: Unit vectors of the names, float32 [n, dim]; None compares words alone.
        most: Namesakes of each, at most.
    """
    n = len(names)
    ids: dict[frozenset[Phrase], int] = {}
    groups = np.array([ids.setdefault(words, len(ids)) if (words := words_of(one)) else -1 for one in names], np.int64)
    found: list[tuple[int, ...]] = []
    for start in range(0, n, _ROWS):
        rows = np.arange(start, min(n, start + _ROWS))
        alike = np.zeros((len(rows), n))
        if vectors is not None:
            alike = np.asarray(vectors[rows] @ vectors.T, np.float64)
            # Equal texts get vectors that differ by rounding.
            alike = np.where(alike >= ALIKE, np.round(alike, 4), 0.0)
        alike[groups[rows, None] == groups[None, :]] = 2.0
        alike[groups[rows] < 0] = 0.0
        alike[:, groups < 0] = 0.0
        alike[np.arange(len(rows)), rows] = 0.0
        for row, likeness in zip(rows, alike, strict=True):
            others = np.flatnonzero(likeness)
            order = np.lexsort(((others - row) % n, -likeness[others]))
            found.append(tuple(int(other) for other in others[order][:most]))
    return found
