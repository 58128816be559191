"""Numbers that look random and are a function of what they are of: the same on every machine, in every run."""

from __future__ import annotations

import numpy as np


def _mix(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser (Steele, Lea, Flood 2014), uint64 [n]."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def hashed(seed: int, *parts: np.ndarray) -> np.ndarray:
    """A random-looking number of a seed and one entry of each part, uint64 [n]; parts are non-negative integers."""
    found = _mix(np.full(parts[0].shape, seed % 2**64, np.uint64))
    for part in parts:
        found = _mix(found ^ part.astype(np.uint64))
    return found


def drawn_key(seed: int, feature: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Keys that draw images at random, for each feature on its own, uint64 [n]: by a hash, then by image."""
    return _keys(hashed(seed, feature + 1, image) >> np.uint64(32), image)


def strongest_key(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Keys of non-negative float32, uint64 [n]: the larger the value the smaller its key, of equals by image."""
    # The bits of positive floats are in the order of the floats.
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return _keys(np.uint64(2**32 - 1) - bits, image)


def _keys(first: np.ndarray, image: np.ndarray) -> np.ndarray:
    """One number that sorts by `first` and then by image, both below 2**32."""
    return (first << np.uint64(32)) | image.astype(np.uint64)
