"""What a harvest needs of a layer's sparse code, gathered on the code's device and brought from there by one read.

A read waits until the device has done all its work, so nothing here asks for
the number of latents that fired: every array has the size that it may have at most. A dense [cells, num_latents] code
never exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autointerp.crops.levels import LEVELS

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import SparseCode

SUM_SCALE = 2.0**20
"""Sums of activations are integers in units of 1 / SUM_SCALE, so that they do not depend on the order of adding."""
_LOWEST = 2 * (127 - 16)


class NarrowCodeError(ValueError):
    """More latents fire in a row than the code has room for."""


@dataclass(frozen=True)
class BatchCode:
    """A layer's code of one step of a batch, by latent and place of the image in the batch.

    One entry for each latent and image where the latent fired, in ascending order: `latent`, `place` int64 [n];
    `activation` float32 [n], the maximum, at `cell` int32 [n], the first of equals; `length` int64 [n] active cells;
    `total` int64 [n] their activations in units of 1 / SUM_SCALE. The cells of the entries lie end to end in `cells`
    int64 and `values` float32 [sum of length], ascending in each entry. `level` int64 [m] is latent * LEVELS + level of
    an activation, `at_level` int64 [m] how many cells are on it. `code` is the code itself, if it lies on a processor.
    """

    count: int
    tokens: int
    latent: np.ndarray
    place: np.ndarray
    activation: np.ndarray
    cell: np.ndarray
    length: np.ndarray
    total: np.ndarray
    cells: np.ndarray
    values: np.ndarray
    level: np.ndarray
    at_level: np.ndarray
    code: SparseCode | None = None


def read_code(
    code: SparseCode, count: int, tokens: int, num_latents: int, fullest: torch.Tensor | None = None
) -> BatchCode:
    """Read a code of `count` images of `tokens` cells each, images after each other.

    Args:
        code: acts and indices [count * tokens, k].
        count: Number of images.
        tokens: Cells of an image.
        num_latents: Size of the dictionary.
        fullest: Number of latents that fire in the fullest row, 0-dim, where the code may be too narrow for them.

    Raises:
        NarrowCodeError: The code is too narrow.
        ValueError: The shapes do not fit, an activation is no number, or an index is out of range.
    """
    import torch

    from autointerp.dictionaries.reading import read_together

    acts, indices = code.latent_acts.detach().float(), code.latent_indices
    if acts.shape != indices.shape or len(acts) != count * tokens:
        raise ValueError(f"a code of shape {tuple(acts.shape)} is not that of {count} images of {tokens} cells")
    needed = torch.zeros((), dtype=torch.int64, device=acts.device) if fullest is None else fullest
    width = acts.shape[1]
    if acts.device.type == "mps":  # MPS lacks some of the 64-bit integer operations below.
        acts, indices, needed = read_together(acts, indices.int(), needed)
    value, latent = acts.flatten(), indices.flatten().long()
    token = torch.arange(len(acts), device=acts.device)[:, None].expand(acts.shape).flatten()
    if acts.device.type == "cpu":  # To leave out what does not fire takes a processor no waiting.
        there = value.nonzero()[:, 0]
        value, latent, token = value[there], latent[there], token[there]
    on = value != 0
    wrong = torch.stack([needed, (on & ~((value > 0) & (value < torch.inf))).sum()])
    outside = (on & ((latent < 0) | (latent >= num_latents))).sum()
    latent = latent.clamp(0, num_latents - 1)
    place, cell = token // tokens, token % tokens
    entries = num_latents * count
    levels = (latent * LEVELS + _levels(value)).masked_fill(~on, num_latents * LEVELS)
    # What does not fire goes to a last entry, which nobody reads. A stable sort keeps the cells of an entry ascending.
    entry, order = (latent * count + place).masked_fill(~on, entries).sort(stable=True)
    cell, value = cell[order], value[order]
    numbers = None
    if acts.device.type == "cpu":
        numbers, entry = torch.unique_consecutive(entry, return_inverse=True)
        entries = len(numbers)
    length = _zeros(entries, torch.int32, entry).scatter_add_(0, entry, torch.ones_like(entry, dtype=torch.int32))
    best = _zeros(entries, torch.float32, entry).scatter_reduce_(0, entry, value, "amax")
    # The first cell that reaches the maximum.
    reaching = cell.masked_fill(value != best[entry], tokens).int()
    first = (_zeros(entries, torch.int32, entry) + tokens).scatter_reduce_(0, entry, reaching, "amin")
    # Scaling by a power of two and rounding are both exact in float32.
    total = _zeros(entries, torch.int64, entry).scatter_add_(0, entry, (value * SUM_SCALE).round().long())
    cells, values = cell.to(torch.int16), value
    if acts.device.type == "cpu":
        level, at_level = (t.numpy() for t in torch.unique(levels, return_counts=True))
        flags = [*wrong.tolist(), int(outside)]
    else:
        histogram = _zeros(num_latents * LEVELS, torch.int32, entry)
        histogram.scatter_add_(0, levels, torch.ones_like(levels, dtype=torch.int32))
        wrong, histogram, length, best, first, total, cells, values = read_together(
            torch.cat([wrong, outside[None]]), histogram[:-1], length, best, first, total, cells, values
        )
        level = np.flatnonzero(histogram.numpy())
        at_level, flags = histogram.numpy()[level].astype(np.int64), wrong.tolist()
    if flags[0] > width:
        raise NarrowCodeError(f"{flags[0]} latents fire in a row, and the code has {width} slots")
    if flags[1]:
        raise ValueError("a code has negative activations, or activations that are no numbers")
    if flags[2]:
        raise ValueError(f"a code has indices outside of 0 to {num_latents - 1}")
    fired = np.flatnonzero(length[:-1].numpy())
    number = fired if numbers is None else numbers.numpy()[fired]
    lengths = length.numpy()[fired].astype(np.int64)
    active = int(lengths.sum())
    return BatchCode(
        count=count,
        tokens=tokens,
        latent=number // count,
        place=number % count,
        activation=best.numpy()[fired],
        cell=first.numpy()[fired],
        length=lengths,
        total=total.numpy()[fired],
        cells=cells.numpy()[:active].view(np.uint16).astype(np.int64),
        values=values.numpy()[:active],
        level=level,
        at_level=at_level,
        code=code if code.latent_acts.device.type == "cpu" else None,
    )


def _zeros(n: int, dtype: torch.dtype, like: torch.Tensor) -> torch.Tensor:
    """Return zeros for `n` entries and the last one."""
    return like.new_zeros(n + 1, dtype=dtype)


def _levels(value: torch.Tensor) -> torch.Tensor:
    """Return the histogram level of each positive float32, int64 [n]; values beyond the ends are on the last levels."""
    import torch

    # Exponent and first bit of the mantissa count half octaves, exactly and equally on every device.
    return ((value.contiguous().view(torch.int32) >> 22).long() - _LOWEST).clamp(0, LEVELS - 1)


def levels_of(values: np.ndarray) -> np.ndarray:
    """Return the histogram level of each positive float32 [n], int64, as `read_code` counts them."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32)
    return np.clip((bits >> 22).astype(np.int64) - _LOWEST, 0, LEVELS - 1)
