from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, strategies as st

from autointerp.dictionaries.neighbours import nearest_directions


@given(st.integers(2, 12), st.integers(1, 15), st.integers(1, 5))
def test_neighbours_are_those_of_all_cosines_and_never_oneself(latents: int, count: int, rows: int) -> None:
    directions = torch.randn(latents, 5, generator=torch.Generator().manual_seed(latents))
    index, cosine = nearest_directions(directions, count, rows)
    unit = F.normalize(directions, dim=1)
    every = (unit @ unit.T).fill_diagonal_(-2)
    assert index.shape == (latents, min(count, latents - 1))
    torch.testing.assert_close(cosine, every.sort(1, descending=True).values[:, : index.shape[1]])
    assert not (index == torch.arange(latents)[:, None]).any()
    torch.testing.assert_close(cosine, every.gather(1, index))
