"""Correlations of rows with atoms, in whole blocks, and their sums and searches that ask a device nothing.

A row of correlations [padded_width(m)] has columns past the last of m atoms, so that it can be searched by blocks.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

GRAM_BYTES = 1 << 30
"""The largest Gram matrix that is made unasked: 16,384 atoms in float32."""

CORRELATIONS = {"cpu": 3 << 20, "cuda": 1 << 27}
"""Correlations held at a time on each kind of device; rows come in chunks of this many divided by m."""

BLOCK = 64
"""Correlations are searched by the maxima of blocks of this many, several times as fast as entry by entry."""


def wide_gram(atoms: torch.Tensor) -> torch.Tensor | None:
    """Return the Gram matrix of atoms [m, d] for `pursue`, in whole blocks; None where it would be too large."""
    m = len(atoms)
    if m**2 * atoms.element_size() > GRAM_BYTES:
        return None
    return F.pad(atoms @ atoms.T, (0, padded_width(m) - m))


def worthwhile_gram(atoms: torch.Tensor, gram: torch.Tensor | None, uses: int) -> torch.Tensor | None:
    """Return the Gram matrix [m, padded_width(m)], with columns of 0 at the end; None where it would not be worth it.

    Making it takes m products of a residual with all atoms, and memory. Mode "fast" has fewer steps, but would gather
    the atoms in each.

    Args:
        atoms: Rows [m, d].
        gram: The matrix [m, m], where the caller has it.
        uses: Residuals, one a row and step, that would be multiplied with all atoms without the matrix.

    Raises:
        ValueError: `gram` has another shape.
    """
    m = len(atoms)
    if gram is not None:
        if gram.shape != (m, m):
            raise ValueError(f"gram {tuple(gram.shape)} is not [{m}, {m}]")
        gram = gram.detach().to(atoms)
        return F.pad(gram, (0, padded_width(m) - m)) if padded_width(m) > m else gram.contiguous()
    if uses < 2 * m or m * padded_width(m) * atoms.element_size() > GRAM_BYTES:
        return None
    wide = atoms.new_zeros(m, padded_width(m))
    torch.mm(atoms, atoms.T, out=wide[:, :m])
    return wide


def rows_at_a_time(x: torch.Tensor, m: int) -> int:
    """Return how many rows of `x` to work on at a time."""
    return max(16, CORRELATIONS.get(x.device.type, CORRELATIONS["cuda"]) // m)


def padded_width(m: int) -> int:
    """Round m up to whole blocks."""
    return math.ceil(m / BLOCK) * BLOCK


def correlate(rows: torch.Tensor, atoms: torch.Tensor, out: torch.Tensor) -> None:
    """Write `rows @ atoms.T` into the first m columns of `out` [n, padded_width(m)]."""
    torch.mm(rows, atoms.T, out=out[:, : len(atoms)])


def first_correlations(x: torch.Tensor, atoms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the correlations of `x`, [n, padded_width(m)], -inf past the last atom, and what size counts as 0, [n]."""
    g = x.new_full((len(x), padded_width(len(atoms))), -torch.inf)
    correlate(x, atoms, g)
    return g, 8 * torch.finfo(x.dtype).eps * x.norm(dim=1)


def bag(indices: torch.Tensor, weights: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Sum rows of `table` [.., c] with weights: `indices` and `weights` [n, s] give [n, c]."""
    return F.embedding_bag(indices, table, per_sample_weights=weights, mode="sum")


def bag_of_some(some: torch.Tensor, indices: torch.Tensor, weights: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return `bag` [n, c] for the rows that `some` [n] marks, and zeros for the others, which cost next to nothing."""
    n, slots = indices.shape
    # Marked rows come first. Unmarked rows have empty bags, so entries after the last marked row's are never read.
    order = some.logical_not().to(torch.uint8).argsort(stable=True)
    ends = torch.arange(n + 1, device=some.device).clamp_max(some.sum()) * slots
    found = F.embedding_bag(
        indices[order].flatten(),
        table,
        ends,
        per_sample_weights=weights[order].flatten(),
        mode="sum",
        include_last_offset=True,
    )
    return torch.empty_like(found).index_copy_(0, order, found)


def largest(g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest entry of each row [n] and its index [n], the first of equal ones."""
    blocks = g.view(len(g), -1, BLOCK)
    best, block = blocks.amax(2).max(1)
    within = blocks.gather(1, block[:, None, None].expand(-1, 1, BLOCK))[:, 0].argmax(1)
    return best, block * BLOCK + within


def top(g: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the `count` largest entries of each row and their indices [n, count], in any order."""
    size = 16
    blocks = g.view(len(g), size, -1)
    if 2 * count > blocks.shape[2]:
        return g.topk(count, dim=1, sorted=False)
    # The largest entries are in the `count` blocks with the largest maxima. The entries of a block are strided, so that
    # maxima are taken over contiguous rows, which is several times as fast.
    block = blocks.amax(1).topk(count, dim=1, sorted=False).indices
    value, place = blocks.gather(2, block[:, None].expand(-1, size, -1)).flatten(1).topk(count, 1, sorted=False)
    return value, place // count * blocks.shape[2] + block.gather(1, place % count)


def inner_products(
    atoms: torch.Tensor, gram: torch.Tensor | None, left: torch.Tensor, right: torch.Tensor
) -> torch.Tensor:
    """Return the inner products [n, a, b] of the atoms `left` [n, a] and `right` [n, b]."""
    if gram is None:
        return torch.bmm(atoms[left], atoms[right].transpose(1, 2))
    places = (left * gram.shape[1])[:, :, None] + right[:, None]
    return gram.view(-1).index_select(0, places.flatten()).view(places.shape)
