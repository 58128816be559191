"""Matching two dictionaries, and shared sources."""

from __future__ import annotations

import math

import torch

from autointerp.dictionaries.compare import jaccard, match_directions


def test_jaccard_counts_sources_once() -> None:
    assert jaccard([("a", 1), ("b", 2), ("b", 2)], [("b", 2), ("c", 3)]) == 1 / 3
    assert jaccard([("a", 1)], [("a", 1)]) == 1
    assert math.isnan(jaccard([], []))


def test_a_permuted_scaled_copy_matches_itself_whatever_the_blocks() -> None:
    draw = torch.Generator().manual_seed(0)
    one = torch.randn(50, 16, generator=draw)
    order = torch.randperm(50, generator=draw)
    other = torch.cat([3 * one[order], -one[:5]])
    for rows in (7, 4096):
        there, back = match_directions(one, other, rows)
        assert torch.equal(order[there.index], torch.arange(50))
        assert torch.allclose(there.cosine, torch.ones(50))
        assert torch.equal(back.index[:50], order)
        assert there.mean > 0.999
        assert there.share(0.9) == 1
        assert abs(back.share(0.9) - 50 / 55) < 1e-6
