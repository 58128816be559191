"""The words of the world of shapes, made from the lists of the scene renderer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import product

from autointerp.shapes.scenes import BACKGROUNDS, COLORS, SHAPES, SIZES, TEXTURES
from autointerp.worlds import Vocabulary

CONTRASTS: tuple[tuple[str, ...], ...] = (("edge", "inside", "background"), ("small", "large"))
"""Phrases of which one excludes the others, and which look alike to an embedder."""


@cache
def shapes_vocabulary() -> Vocabulary:
    """Return the single words of the world, then every pair of words of two kinds, then the parts of a picture."""
    looks: tuple[tuple[str, ...], ...] = (tuple(SIZES), tuple(COLORS), tuple(TEXTURES), tuple(SHAPES))
    phrases = [word for words in looks for word in words]
    phrases += [f"{background} background" for background in BACKGROUNDS]
    for i, first in enumerate(looks):
        for second in looks[i + 1 :]:
            phrases += _pairs(first, second)
    phrases += ["object", "edge", "inside", "background"]
    return Vocabulary(tuple(dict.fromkeys(phrases)), CONTRASTS)


def _pairs(first: Iterable[str], second: Iterable[str]) -> list[str]:
    return [" ".join(words) for words in product(first, second)]
