"""The seam between pictures, words and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class TextEmbedder(Protocol):
    """Maps texts into a space in which what means the same is close.

    `name` identifies the model and its weights (it is stored beside every index made with it); `dim` is the
    width of its vectors.
    """

    name: str
    dim: int

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts, float32 [n, dim]."""
        ...


class Embedder(TextEmbedder, Protocol):
    """Maps pictures into the same space, so that a picture is close to the words for it."""

    def embed_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Unit vectors of RGB pictures of any size, float32 [n, dim]."""
        ...
