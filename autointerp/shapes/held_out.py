"""What was seen of held-out pictures: what is true in each cell, and in which cells each feature is active.

It is stored with an evaluation, packed, so that labels that are made later are held against the same cells without a
picture being generated again. A thousand pictures and 384 features take about a megabyte.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autointerp.shapes.scenes import ATTRIBUTES
from autointerp.shapes.truth import ActiveCells


@dataclass(frozen=True)
class HeldOutCells:
    """Held-out pictures under a dictionary's features.

    Attributes:
        cells: attribute -> int8 [n, rows, cols], as for `concept_masks`.
        active: The cells in which each feature is active, in the order of features, then cells.
    """

    cells: Mapping[str, np.ndarray]
    active: ActiveCells

    @property
    def images(self) -> int:
        """How many pictures there are."""
        return len(self.cells["part"])

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values that `from_dict` reads."""
        shape = self.cells["part"].shape
        active = self.active
        cell = np.ravel_multi_index((active.image, active.row, active.col), shape)
        order = np.lexsort((cell, active.feature))
        whole = active.feature[order].astype(np.int64) * int(np.prod(shape)) + cell[order]
        steps = np.diff(whole, prepend=0).astype("<u4")
        return {
            "shape": list(shape),
            "features": active.num_features,
            "cells": packed(np.stack([self.cells[name] for name in ATTRIBUTES]).astype(np.int8)),
            # Byte by byte, the lowest first: all but the first are mostly zeros, which take no room.
            "active": packed(steps.view(np.uint8).reshape(-1, 4).T),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> HeldOutCells:
        """Return what `as_dict` was called on."""
        shape = tuple(stored["shape"])
        cells = np.frombuffer(unpacked(stored["cells"]), np.int8).reshape(len(ATTRIBUTES), *shape)
        planes = np.frombuffer(unpacked(stored["active"]), np.uint8).reshape(4, -1)
        steps = np.ascontiguousarray(planes.T).view("<u4").reshape(-1)
        feature, cell = np.divmod(np.cumsum(steps, dtype=np.int64), int(np.prod(shape)))
        active = ActiveCells(stored["features"], feature, *np.unravel_index(cell, shape))
        return cls(dict(zip(ATTRIBUTES, cells, strict=True)), active)


def packed(values: np.ndarray) -> str:
    """Return the bytes of an array as text."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values).tobytes(), 6)).decode()


def unpacked(text: str) -> bytes:
    """Return the bytes that `packed` took."""
    return zlib.decompress(base64.b64decode(text))
