"""Lists of different lengths laid end to end."""

from __future__ import annotations

import numpy as np


def starts_of(lengths: np.ndarray) -> np.ndarray:
    """Where each list begins, int64 [n]."""
    return np.cumsum(lengths, dtype=np.int64) - lengths


def pick(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Positions of all items of the lists that begin at `starts`, in their order, int64 [sum of lengths]."""
    ends = np.cumsum(lengths, dtype=np.int64)
    shift = np.repeat(starts - (ends - lengths), lengths)
    return shift + np.arange(len(shift), dtype=np.int64)
