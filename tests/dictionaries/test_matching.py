"""Matching pursuit of SAELens beyond the contract of `test_protocol.py`: where a row ends."""

from __future__ import annotations

import torch

from autointerp.dictionaries.matching import MatchingPursuit


def test_a_row_ends_where_little_is_left_or_nothing_new_comes() -> None:
    rows = torch.eye(3)
    exact = MatchingPursuit(rows, torch.zeros(3), 0.01)
    code = exact.encode(torch.tensor([[3.0, 2.0, 1.0], [-1.0, -2.0, -3.0], [0.0, 0.0, 5.0]]))
    assert code.latent_acts.tolist() == [[3, 2, 1], [0, 0, 0], [5, 0, 0]]
    assert code.latent_indices.tolist()[0] == [0, 1, 2]
    coarse = MatchingPursuit(rows, torch.zeros(3), 1.5)
    assert coarse.encode(torch.tensor([[3.0, 2.0, 1.0]])).latent_acts.tolist() == [[3, 2]]
    # A row of half the length takes half, then half of what is left, and ends there, as its latents stay the same.
    short = MatchingPursuit(torch.tensor([[0.5, 0.0]]), torch.zeros(2), 0.01)
    assert short.encode(torch.tensor([[1.0, 0.0]])).latent_acts.tolist() == [[0.5 + 0.375]]
