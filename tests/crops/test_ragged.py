from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from autointerp.crops.ragged import pick, starts_of


@given(st.lists(st.integers(0, 5), max_size=12), st.data())
def test_picked_positions_are_those_of_the_lists_in_their_order(lengths: list[int], data: st.DataObject) -> None:
    starts = starts_of(np.array(lengths, np.int64))
    assert starts.tolist() == [sum(lengths[:i]) for i in range(len(lengths))]
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=8)) if lengths else []
    expected = [starts[i] + offset for i in chosen for offset in range(lengths[i])]
    assert pick(starts[chosen], np.array(lengths, np.int64)[chosen]).tolist() == expected


def test_positions_beyond_32_bits_stay_exact() -> None:
    assert pick(np.array([2**33, 5]), np.array([2, 1])).tolist() == [2**33, 2**33 + 1, 5]
