"""The seam between pictures, words and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class TextEmbedder(Protocol):
    """Maps texts into a space in which texts of like meaning are close."""

    @property
    def name(self) -> str:
        """Identifies the model and its weights; stored beside every index that is made with it."""
        ...

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: unit vectors, float32 [n, dim]."""
        ...


@runtime_checkable
class Embedder(TextEmbedder, Protocol):
    """Maps pictures into the same space as texts, so that a picture is close to the words that describe it."""

    def embed_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Embed RGB pictures of any size: unit vectors, float32 [n, dim]."""
        ...
