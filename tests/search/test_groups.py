"""Weighted means of groups, beside the same by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from autointerp.search.groups import GroupedSlots

from .drawn import unit_vectors


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 2**32))
def test_means_are_weighted_sums_of_length_one(of: list[int], seed: int) -> None:
    vectors, groups = unit_vectors(2 * len(of), 5, seed), np.array(of)
    weights = np.random.default_rng(seed).uniform(0.1, 3, 2 * len(of)).astype(np.float32)
    # Every other slot is removed, so groups are those of the others.
    slots = 2 * np.arange(len(of))
    grouped = GroupedSlots(slots, groups)
    assert np.array_equal(grouped.groups, np.unique(groups))
    every = grouped.all_means(vectors, weights)
    for group, mean in zip(grouped.groups, every, strict=True):
        own = slots[groups == group]
        total = (vectors[own] * weights[own, None]).sum(0)
        assert np.allclose(mean * np.linalg.norm(total), total, atol=1e-4)
        assert np.linalg.norm(mean) <= 1 + 1e-5
    some = grouped.groups[::2]
    assert np.allclose(grouped.means_of(some, vectors, weights), every[::2], atol=1e-6)
