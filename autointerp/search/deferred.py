"""An embedder that is loaded when it first embeds: plans, and work that is up to date, load none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from autointerp.search.protocol import Embedder


class DeferredEmbedder:
    """Stands for an `Embedder` until it is needed.

    Args:
        name: The name that it has once it is loaded.
        load: Loads it.
    """

    def __init__(self, name: str, load: Callable[[], Embedder]) -> None:
        self.name, self._load = name, load

    @cached_property
    def loaded(self) -> Embedder:
        """The embedder; loading takes seconds.

        Raises:
            AutointerpError: It cannot be loaded.
        """
        return self._load()

    @cached_property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.loaded.dim

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """See `Embedder`."""
        return self.loaded.embed_texts(texts)

    def embed_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """See `Embedder`."""
        return self.loaded.embed_images(images)
