from __future__ import annotations

import numpy as np
from PIL import Image

from autointerp.search.deferred import DeferredEmbedder
from autointerp.search.protocol import Embedder


class Ones:
    name, dim = "ones@1", 3

    def embed_texts(self, texts: object) -> np.ndarray:
        return np.ones((len(texts), 3), np.float32)  # type: ignore[arg-type]

    embed_images = embed_texts


def test_it_is_loaded_once_by_what_embeds() -> None:
    loads: list[int] = []

    def load() -> Embedder:
        loads.append(1)
        return Ones()

    embedder = DeferredEmbedder("ones@1", load)
    assert (embedder.name, loads) == ("ones@1", [])
    assert embedder.embed_texts(["a", "b"]).shape == (2, 3)
    assert embedder.embed_images([Image.new("RGB", (2, 2))]).shape == (1, 3)
    assert (embedder.dim, loads) == (3, [1])
    assert isinstance(embedder, Embedder)
