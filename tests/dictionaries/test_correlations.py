"""Sums and searches of correlations, each against the plain way."""

from __future__ import annotations

import pytest
import torch

from autointerp.dictionaries import correlations
from autointerp.dictionaries.correlations import (
    BLOCK,
    bag,
    bag_of_some,
    first_correlations,
    inner_products,
    largest,
    top,
)

M, D = BLOCK + 6, 12


@pytest.fixture
def atoms() -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(M, D, generator=torch.Generator().manual_seed(0)), dim=1)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(9, D, generator=torch.Generator().manual_seed(1))


def test_the_largest_are_found_by_blocks_and_never_past_the_last_atom(x: torch.Tensor, atoms: torch.Tensor) -> None:
    found, floor = first_correlations(x, atoms)
    plain = x @ atoms.T
    assert found.shape == (len(x), 2 * BLOCK)
    assert bool((found[:, M:] == -torch.inf).all())
    assert bool((floor > 0).all())
    value, index = largest(found)
    assert torch.equal(index, plain.argmax(1))
    assert torch.allclose(value, plain.amax(1))
    for count in (1, 3, M):
        values, indices = top(found, count)
        assert torch.allclose(values.sort(1).values, plain.topk(count).values.sort(1).values)
        assert torch.allclose(plain.gather(1, indices), values)


def test_the_first_of_equal_ones_is_the_largest() -> None:
    equal = torch.zeros(2, 2 * BLOCK)
    equal[1, [3, 70]] = 1
    assert largest(equal)[1].tolist() == [0, 3]


def test_bags_are_weighted_sums_and_unmarked_rows_zeros(atoms: torch.Tensor) -> None:
    indices, weights = torch.randint(M, (5, 3)), torch.randn(5, 3)
    plain = (atoms[indices] * weights[:, :, None]).sum(1)
    assert torch.allclose(bag(indices, weights, atoms), plain, atol=1e-6)
    for some in (torch.tensor([True, False, True, False, False]), torch.zeros(5, dtype=torch.bool)):
        assert torch.allclose(bag_of_some(some, indices, weights, atoms), plain * some[:, None], atol=1e-6)


def test_inner_products_are_those_of_the_gram_matrix(atoms: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = torch.randint(M, (4, 2)), torch.randint(M, (4, 3))
    gram = correlations.wide_gram(atoms)
    assert gram is not None
    assert gram.shape == (M, 2 * BLOCK)
    assert torch.allclose(inner_products(atoms, gram, left, right), inner_products(atoms, None, left, right), atol=1e-6)
    assert correlations.worthwhile_gram(atoms, None, 2 * M - 1) is None
    wide = correlations.worthwhile_gram(atoms, None, 2 * M)
    assert wide is not None
    assert torch.allclose(wide, gram)
    monkeypatch.setattr(correlations, "GRAM_BYTES", 0)
    assert correlations.wide_gram(atoms) is None
    assert correlations.worthwhile_gram(atoms, None, 2 * M) is None
