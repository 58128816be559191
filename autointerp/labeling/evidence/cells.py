"""Readers of cells: how probable phrases such as `edge` are at a cell, by its pixels and by its windows.

An embedder says well what a window shows, and less well where in a thing the window's centre lies: the windows of an
edge and of the inside beside it overlap almost entirely. Pixels tell the two apart: a cell on an edge differs from some
of its neighbours and not from others, and has more than one colour.

A reader is a small network over the similarities of windows to a few texts and over statistics of the cell. It is
fitted for one embedder, and kept in a file of a few kilobytes beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from autointerp.errors import AutointerpError
from autointerp.labeling.evidence.windows import WindowEmbedder, cell_of
from autointerp.labeling.protocol import CropEvidence
from autointerp.search.protocol import Embedder

_SIDE = 8
"""Pixels of a cell's side for its statistics; pictures are resized to it."""
_AROUND = ((0, 1), (1, 1), (1, 0), (1, -1))
"""Half of a cell's neighbours, as (down, right); the others lie opposite."""
STATISTICS = 10
"""Statistics of a cell."""


class CellReader(Protocol):
    """Reads how probable phrases are at crops' cells.

    Attributes:
        name: Identifies the reader with its weights.
        phrases: The phrases that it knows. For these it takes the place of the embedder's similarity.
    """

    name: str
    phrases: tuple[str, ...]

    def read(self, windows: WindowEmbedder, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Return probabilities, float32 [crops, phrases]."""
        ...


def cell_statistics(picture: Image.Image, grid: tuple[int, int]) -> np.ndarray:
    """Return how each cell differs from its neighbours and in itself: float32 [rows, cols, STATISTICS].

    The statistics are the largest step of colour across the cell (between opposite neighbours), the deviation of its
    own pixels, and its distances to its eight neighbours in ascending order. All are log(1 + x) of 8-bit units of mean
    colours. At the border a cell takes the place of the neighbours that it lacks.
    """
    rows, cols = grid
    rgb = picture.convert("RGB")
    if rgb.size != (cols * _SIDE, rows * _SIDE):
        rgb = rgb.resize((cols * _SIDE, rows * _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(rgb, np.float32).reshape(rows, _SIDE, cols, _SIDE, 3)
    mean = pixels.mean((1, 3))
    spread = np.sqrt(pixels.var((1, 3)).sum(-1))
    padded = np.pad(mean, ((1, 1), (1, 1), (0, 0)), mode="edge")

    def shifted(down: int, right: int) -> np.ndarray:
        """Return the mean colours of the neighbours that lie so many cells down and to the right."""
        return padded[1 + down : 1 + down + rows, 1 + right : 1 + right + cols]

    step = np.max([np.linalg.norm(shifted(a, b) - shifted(-a, -b), axis=-1) for a, b in _AROUND], 0)
    around = [*_AROUND, *((-a, -b) for a, b in _AROUND)]
    apart = np.sort(np.stack([np.linalg.norm(shifted(a, b) - mean, axis=-1) for a, b in around], -1), -1)
    return np.log1p(np.concatenate([step[..., None], spread[..., None], apart], -1)).astype(np.float32)


class PartReader:
    """A network of one hidden layer over texts' similarities in windows of several sizes, and a cell's statistics."""

    def __init__(self, embedder: Embedder, config: dict[str, Any], name: str) -> None:
        """Build the network.

        Args:
            embedder: The embedder for which the reader was fitted.
            config: Contents of its file.
            name: Identifies the reader with its weights.
        """
        self.name = name
        self.sizes = tuple(float(s) for s in config["windows"])
        self.phrases = tuple(phrase for phrase, _ in config["phrases"])
        self._classes = [list(classes) for _, classes in config["phrases"]]
        self._embedder, self._said = embedder, tuple(config["texts"])
        self._mean, self._scale, *self._layers = (
            np.array(config[key], np.float32) for key in ("mean", "scale", "hidden", "hidden_bias", "out", "out_bias")
        )
        self._statistics: dict[tuple[int, tuple[int, int]], np.ndarray] = {}

    @cached_property
    def _texts(self) -> np.ndarray:
        """The vectors of the texts that windows are held against, float32 [texts, dim]."""
        return self._embedder.embed_texts(self._said)

    @classmethod
    def load(cls, path: Path, embedder: Embedder) -> PartReader:
        """Load the reader of a file.

        Raises:
            AutointerpError: The reader was fitted for another embedder.
        """
        text = path.read_text(encoding="utf-8")
        config = json.loads(text)
        if config["embedder"] != embedder.name:
            raise AutointerpError(
                f"{path.name} was fitted for {config['embedder']}, not for {embedder.name}",
                "fit it again, as docs/shapes.md says",
            )
        return cls(embedder, config, f"parts@{hashlib.sha256(text.encode()).hexdigest()[:12]}")

    def inputs(self, windows: WindowEmbedder, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Return the network's inputs before standardisation: float32 [crops, texts * sizes + STATISTICS].

        Raises:
            AutointerpError: The embedder of windows lacks a size that the reader needs.
        """
        missing = [size for size in self.sizes if size not in windows.sizes]
        if missing:
            raise AutointerpError(
                f"{self.name} needs windows of {missing[0]:g} cells", "give the embedder's sizes to it"
            )
        vectors = windows.by_size(crops)
        similar = [vectors[:, windows.sizes.index(size)] @ self._texts.T for size in self.sizes]
        return np.concatenate([*similar, self._cells(crops)], 1)

    def _cells(self, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Return the statistics of the crops' cells: float32 [crops, STATISTICS]."""
        for crop in crops:
            if (crop.image_id, crop.grid) not in self._statistics:
                self._statistics[crop.image_id, crop.grid] = cell_statistics(crop.picture, crop.grid)
        rows = [self._statistics[c.image_id, c.grid][cell_of(c)] for c in crops]
        return np.stack(rows) if rows else np.zeros((0, STATISTICS), np.float32)

    def read(self, windows: WindowEmbedder, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Return probabilities, float32 [crops, phrases]."""
        return self.probabilities(self.inputs(windows, crops))

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Return the network's probabilities for `inputs` [n, ...]: float32 [n, phrases]."""
        hidden, hidden_bias, out, out_bias = self._layers
        x = (inputs - self._mean) / self._scale
        logits = np.tanh(x @ hidden.T + hidden_bias) @ out.T + out_bias
        logits -= logits.max(1, keepdims=True)
        classes = np.exp(logits)
        classes /= classes.sum(1, keepdims=True)
        return np.stack([classes[:, c].sum(1) for c in self._classes], 1)
