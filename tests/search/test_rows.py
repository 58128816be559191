"""Rows are checked, told apart by their digests, and stored as a table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from autointerp.search.rows import Rows, digest_of


def test_digests_tell_contents_apart() -> None:
    assert digest_of("a", 1) == digest_of("a", 1)
    assert 0 <= digest_of("ü") < 2**64
    assert len({digest_of("a", "b"), digest_of("ab"), digest_of("b", "a"), digest_of("a"), digest_of(1)}) == 5


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Rows.of([(1, 1, 1, 1.0), (1, 2, 3, 1.0)])
    with pytest.raises(ValueError, match="groups"):
        Rows(np.array([1, 2]), np.array([1]), np.array([1, 1]), np.ones(2))


KEYS = st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 3), st.integers(0, 2**64 - 1))


@given(st.lists(KEYS, unique_by=lambda key: key[0], max_size=20), st.data())
def test_rows_survive_the_table_and_are_found_among_others(
    keys: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    rows = Rows.of((*key, number / 2) for number, key in enumerate(keys))
    live = np.array(data.draw(st.lists(st.booleans(), min_size=len(keys), max_size=len(keys))), bool)
    again = Rows.from_table(rows.table(live))
    for column in ("ids", "groups", "digests", "weights"):
        assert np.array_equal(getattr(again, column), getattr(rows, column))
    assert np.array_equal(rows.are_in(rows[live]), live)
    other = Rows(rows.ids, rows.groups, rows.digests ^ np.uint64(1), rows.weights)
    assert not rows.are_in(other).any()
