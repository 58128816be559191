"""Rankings are fused, in an order that does not depend on the order of the lists."""

from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st

from autointerp.search.ranking import reciprocal_rank_fusion


def test_fusion_by_hand() -> None:
    fused = reciprocal_rank_fusion({"words": [3, 1], "labels": [1, 2, 3]})
    assert [f.id for f in fused] == [1, 3, 2]
    assert fused[0].score == pytest.approx(1 / 62 + 1 / 61)
    assert fused[0].ranks == {"words": 2, "labels": 1}
    assert reciprocal_rank_fusion({"a": [7, 7, 8]})[1].ranks == {"a": 2}
    assert [f.id for f in reciprocal_rank_fusion({"a": [9], "b": [4]})] == [4, 9]
    assert [f.id for f in reciprocal_rank_fusion({"a": [9], "b": [4]}, weights={"a": 2})] == [9, 4]
    assert reciprocal_rank_fusion({}) == []


@example({"a": [0, 1, 3, 4, 2, 8, 7], "b": [0, 1, 3, 8, 7, 4, 5, 2], "c": [0, 1, 3, 4, 5, 6, 2, 7]})
@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 9), unique=True)))
def test_fusion_ignores_the_order_of_lists(lists: dict[str, list[int]]) -> None:
    turned = dict(reversed(lists.items()))
    assert [f.id for f in reciprocal_rank_fusion(lists)] == [f.id for f in reciprocal_rank_fusion(turned)]
