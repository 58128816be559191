"""An index is built again only where it has outgrown its structure, and embeds only what changed."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.search.building import compacted, update_index
from autointerp.search.rows import Rows

from .drawn import KINDS, filled, first_of, rows_of, unit_vectors


def test_a_graph_is_swept_when_more_than_a_tenth_is_gone() -> None:
    index, rows, vectors = filled(600, "hnsw")
    index.remove(rows.ids[:60])
    assert compacted(index, 100) is index
    index.remove(rows.ids[60:61])
    swept = compacted(index, 100)
    assert swept.note.removed == 0
    assert len(swept) == 539
    assert (swept.embedder, swept.fingerprint) == ("e", "f")
    assert np.mean(first_of(swept, vectors[61:]) == rows.ids[61:]) > 0.95
    swept.remove(rows.ids[61:550])
    assert compacted(swept, 100).kind == "flat"


def test_a_flat_index_may_grow_a_tenth_beyond_the_limit() -> None:
    index, _, _ = filled(100)
    index.add(rows_of(10, first=1), unit_vectors(10, seed=3))
    assert compacted(index, 100).kind == "flat"
    index.add(rows_of(1, first=500), unit_vectors(1, seed=4))
    assert compacted(index, 100).kind == "hnsw"
    assert len(compacted(index, 100)) == 111


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_changed_is_embedded(kind: str) -> None:
    index, rows, vectors = filled(300, kind)
    changed = np.arange(10, 20)
    wanted = Rows(rows.ids[10:], rows.groups[10:], rows.digests[10:].copy(), rows.weights[10:])
    wanted.digests[changed - 10] += 10**6
    asked: list[int] = []
    new = unit_vectors(10, seed=5)

    def embed(at: np.ndarray) -> np.ndarray:
        asked.extend(at.tolist())
        return new

    updated = update_index(index, wanted, "e", "g", embed, KINDS[kind])
    assert asked == (changed - 10).tolist()
    assert updated is index
    assert updated.fingerprint == "g"
    assert updated.holds(wanted).all()
    assert len(updated) == 290
    assert np.allclose(updated.vectors(rows.ids[changed]), new)
    assert np.allclose(updated.vectors(rows.ids[20:]), vectors[20:])


def test_of_another_embedder_or_width_nothing_is_kept() -> None:
    for embedder, width in (("other", 32), ("e", 16)):
        index, rows, _ = filled(50)
        asked: list[int] = []

        def embed(at: np.ndarray, asked: list[int] = asked, width: int = width) -> np.ndarray:
            asked.extend(at.tolist())
            return unit_vectors(len(at), width, seed=6)

        more = Rows(*(np.append(column, 1) for column in (rows.ids, rows.groups, rows.digests, rows.weights)))
        updated = update_index(index, more, embedder, "g", embed)
        assert asked[-51:] == list(range(51))
        assert (updated.embedder, updated.dim) == (embedder, width)
        assert len(updated) == 51
