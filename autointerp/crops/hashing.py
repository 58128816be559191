"""Hashes as random numbers: functions of their arguments alone, so the same on every machine and in every run."""

from __future__ import annotations

import numpy as np


def _mix(x: np.ndarray) -> np.ndarray:
    """Apply the finaliser of splitmix64 (Steele, Lea, Flood 2014) to uint64 [n]."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def hashed(seed: int, *parts: np.ndarray) -> np.ndarray:
    """Hash a seed and one entry of each part to uint64 [n]; parts are non-negative integers."""
    found = _mix(np.full(parts[0].shape, seed % 2**64, np.uint64))
    for part in parts:
        found = _mix(found ^ part.astype(np.uint64))
    return found


def drawn_key(seed: int, feature: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return keys that draw images at random for each feature, uint64 [n].

    In the order of a hash, then of the image.
    """
    return _keys(hashed(seed, feature + 1, image) >> np.uint64(32), image)


def strongest_key(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return keys of non-negative float32, uint64 [n]: a larger value has a smaller key; equal values go by image."""
    # The bit patterns of positive floats are in the order of the floats.
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return _keys(np.uint64(2**32 - 1) - bits, image)


def _keys(first: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return numbers that sort by `first` and then by image, both below 2**32."""
    return (first << np.uint64(32)) | image.astype(np.uint64)
