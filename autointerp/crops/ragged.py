"""Ragged arrays: lists of different lengths, laid end to end."""

from __future__ import annotations

import numpy as np


def starts_of(lengths: np.ndarray) -> np.ndarray:
    """Return where each list begins, int64 [n]."""
    return np.cumsum(lengths, dtype=np.int64) - lengths


def pick(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the positions of all items of the lists that begin at `starts`, in order: integer [sum of lengths]."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    # These are the largest arrays of a harvest, so 32 bits are used where they suffice.
    most = max(total, int(starts.max()) + int(lengths.max())) if len(ends) else 0
    kind = np.int32 if most < 2**31 else np.int64
    shift = np.repeat((starts - (ends - lengths)).astype(kind), lengths)
    shift += np.arange(total, dtype=kind)
    return shift
