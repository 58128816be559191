"""The activation map of a feature over one image, packed to few bytes and back.

Layout, little endian: rows, cols, count as uint16, uint16, uint32; `count` cell indices as uint16, ascending;
`count` activations as float16. Cells that are not listed are 0.
"""

from __future__ import annotations

import struct

import numpy as np

MOST_CELLS = 2**16
"""The most cells that a grid may have, since a packed map numbers them in 16 bits."""
_HEAD = struct.Struct("<HHI")
_LEAST = np.float16(2.0**-24)
_MOST = np.finfo(np.float16).max


def to_half(values: np.ndarray) -> np.ndarray:
    """Round positive activations to float16, clipped to its range: none becomes 0, which would mean inactive."""
    return np.clip(values, _LEAST, _MOST).astype(np.float16)


def pack_map(cells: np.ndarray, values: np.ndarray, grid: tuple[int, int]) -> bytes:
    """Pack a map that is given by its active cells.

    Args:
        cells: integer [n], each row * cols + col, ascending.
        values: float [n], positive.
        grid: (rows, cols), at most 65,536 cells.
    """
    rows, cols = grid
    if rows * cols > MOST_CELLS:
        raise ValueError(f"a grid of {grid} has more than 65,536 cells")
    head = _HEAD.pack(rows, cols, len(cells))
    return head + np.asarray(cells, "<u2").tobytes() + to_half(np.asarray(values)).astype("<f2").tobytes()


def encode_map(activation_map: np.ndarray) -> bytes:
    """Pack a dense map, float [rows, cols], non-negative; exact where its values are float16."""
    flat = np.ascontiguousarray(activation_map).reshape(-1)
    cells = np.flatnonzero(flat > 0)
    rows, cols = activation_map.shape
    return pack_map(cells, flat[cells], (rows, cols))


def decode_map(data: bytes) -> np.ndarray:
    """Unpack a map to float32 [rows, cols].

    Raises:
        ValueError: The bytes are not those of a packed map.
    """
    if len(data) < _HEAD.size:
        raise ValueError("too short for an activation map")
    rows, cols, count = _HEAD.unpack_from(data)
    if len(data) != _HEAD.size + 4 * count:
        raise ValueError(f"an activation map of {count} cells has {_HEAD.size + 4 * count} bytes, not {len(data)}")
    cells = np.frombuffer(data, "<u2", count, _HEAD.size)
    if count and int(cells.max()) >= rows * cols:
        raise ValueError(f"an activation map names cell {int(cells.max())} of a grid of {rows} x {cols}")
    dense = np.zeros(rows * cols, np.float32)
    dense[cells] = np.frombuffer(data, "<f2", count, _HEAD.size + 2 * count)
    return dense.reshape(rows, cols)
