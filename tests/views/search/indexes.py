"""Indexes of the small workspace, whose vectors are chosen by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autointerp.search.building import build_index
from autointerp.search.rows import Rows
from autointerp.search.vector_index import VectorIndex
from autointerp.views.search.question import ReferenceFeature, SearchQuestion
from autointerp.views.search.route import AskedQuestion

EAST, NORTH = (1.0, 0.0), (0.0, 1.0)
BETWEEN = (0.8, 0.6)
"""East and a little north."""


class Plane:
    """Embeds every text, and every picture, as east."""

    name, dim = "plane", 2

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([EAST] * len(texts), np.float32)

    def embed_images(self, images: Sequence[Any]) -> np.ndarray:
        return np.array([EAST] * len(images), np.float32)


class Opener:
    """Opens the index of a kind, and keeps what it was asked."""

    def __init__(self, **kinds: list[tuple[int, int, float, tuple[float, float]]]) -> None:
        """Take rows (id, feature, weight, vector) by kind."""
        self.kinds, self.opened = kinds, list[str]()

    def __call__(self, dictionary: Any, kind: str) -> VectorIndex:
        self.opened.append(f"{dictionary.name}.{kind}")
        rows = self.kinds[kind]
        vectors = np.array([vector for *_, vector in rows], np.float32)
        return build_index(Rows.of((i, group, i, weight) for i, group, weight, _ in rows), vectors, "plane", "f")


def asked(
    ctx: Any, opener: Opener, question: SearchQuestion, reference: ReferenceFeature | None = None
) -> AskedQuestion:
    """A question to a workspace whose embedders are a plane."""
    ctx.embedder = ctx.text_embedder = Plane()
    return AskedQuestion(ctx, question, reference, opener)
