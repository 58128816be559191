"""Lists of different lengths laid end to end."""

from __future__ import annotations

import numpy as np


def starts_of(lengths: np.ndarray) -> np.ndarray:
    """Where each list begins, int64 [n]."""
    return np.cumsum(lengths, dtype=np.int64) - lengths


def pick(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Positions of all items of the lists that begin at `starts`, in their order, integer [sum of lengths]."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    # Half as wide where that is enough: these are the largest arrays of all.
    most = max(total, int(starts.max()) + int(lengths.max())) if len(ends) else 0
    kind = np.int32 if most < 2**31 else np.int64
    shift = np.repeat((starts - (ends - lengths)).astype(kind), lengths)
    shift += np.arange(total, dtype=kind)
    return shift
