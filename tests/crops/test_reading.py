from __future__ import annotations

import numpy as np
import pytest
import torch

from autointerp.crops.levels import LEVELS, level_edges
from autointerp.crops.reading import SUM_SCALE, NarrowCodeError, read_code
from autointerp.dictionaries.protocol import SparseCode

ACTS = torch.tensor([[2.0, 1.0], [2.0, 0.0], [0.5, 0.0], [0.0, 0.0]])
"""Two images of two cells; latent 0 fires twice in the first, latent 1 once, latent 0 once in the second."""
INDICES = torch.tensor([[0, 1], [0, 0], [0, 0], [0, 0]])


def test_a_code_is_read_by_latent_image_and_cell() -> None:
    read = read_code(SparseCode(ACTS, INDICES), 2, 2, 4)
    assert list(zip(read.latent.tolist(), read.place.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0)]
    assert read.activation.tolist() == [2.0, 0.5, 1.0]
    assert read.cell.tolist() == [0, 0, 0]
    assert read.length.tolist() == [2, 1, 1]
    assert (read.total / SUM_SCALE).tolist() == [4.0, 0.5, 1.0]
    assert read.cells.tolist() == [0, 1, 0, 0]
    assert read.values.tolist() == [2.0, 2.0, 0.5, 1.0]
    edges = level_edges()
    assert [(int(level) // LEVELS, edges[level % LEVELS]) for level in read.level] == [(0, 0.5), (0, 2.0), (1, 1.0)]
    assert read.at_level.tolist() == [1, 2, 1]


def test_a_code_that_is_too_narrow_is_refused() -> None:
    code = SparseCode(ACTS, INDICES)
    assert len(read_code(code, 2, 2, 4, torch.tensor(2)).latent) == 3
    with pytest.raises(NarrowCodeError, match="3 latents fire in a row, and the code has 2"):
        read_code(code, 2, 2, 4, torch.tensor(3))


def test_sums_of_half_precision_are_exact() -> None:
    """A hundred thousand activations near the end of float16: their sum is no float16, and hardly a float32."""
    acts = torch.full((100_000, 1), 60_000.0, dtype=torch.float16)
    read = read_code(SparseCode(acts, torch.zeros(100_000, 1, dtype=torch.int64)), 2, 50_000, 1)
    assert (read.total / SUM_SCALE).tolist() == [50_000 * float(acts[0])] * 2
    assert np.isfinite(read.values).all()


def test_a_number_that_is_none_is_refused() -> None:
    for wrong in (torch.nan, torch.inf, -1.0):
        with pytest.raises(ValueError, match="no numbers"):
            read_code(SparseCode(torch.full((4, 2), wrong), INDICES), 2, 2, 4)
