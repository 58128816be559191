from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

from autointerp.crops.best import first_of_groups


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**64 - 2)), max_size=80, unique=True),
    st.integers(1, 9),
)
def test_first_of_groups_is_sorting_everything(entries: list[tuple[int, int]], n: int) -> None:
    group = np.array([g for g, _ in entries], np.int64)
    key = np.array([k for _, k in entries], np.uint64)
    found = first_of_groups(group, key, n).tolist()
    expected = []
    for g in range(10):
        expected += sorted((i for i in range(len(entries)) if group[i] == g), key=lambda i: int(key[i]))[:n]
    assert found == expected
