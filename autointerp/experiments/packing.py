"""Arrays in the JSON of a unit's result: packed to text, because numbers written out take five times the room."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def pack(array: np.ndarray) -> dict[str, Any]:
    """Return an array as plain JSON: its dtype, its shape, and its bytes compressed, in base64."""
    solid = np.ascontiguousarray(array)
    data = base64.b64encode(zlib.compress(solid.tobytes(), 6)).decode("ascii")
    return {"dtype": solid.dtype.str, "shape": list(array.shape), "data": data}


def unpack(packed: Mapping[str, Any]) -> np.ndarray:
    """Return the array that `pack` was given."""
    data = zlib.decompress(base64.b64decode(packed["data"]))
    return np.frombuffer(data, np.dtype(packed["dtype"])).reshape(packed["shape"])
