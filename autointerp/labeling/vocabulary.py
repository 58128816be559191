"""The shipped vocabulary: phrases that a feature may be named by although no prompt says them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from itertools import product
from pathlib import Path

from autointerp.errors import AutointerpError


def parse_vocabulary(text: str) -> tuple[str, ...]:
    """Phrases of a vocabulary file: one a line, `#` starts a comment, duplicates left out, order kept."""
    lines = (line.split("#", 1)[0].strip().lower() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line))


def load_vocabulary(path: Path | None = None) -> tuple[str, ...]:
    """The phrases of a file, by default of the shipped `prompts/vocabulary.txt`: foreign to the world of shapes.

    Raises:
        AutointerpError: the file cannot be read or holds no phrase.
    """
    try:
        text = (path or files("autointerp").joinpath("prompts", "vocabulary.txt")).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AutointerpError(f"cannot read the vocabulary {path or 'of the package'}", str(error)) from error
    phrases = parse_vocabulary(text)
    if not phrases:
        raise AutointerpError(f"the vocabulary {path} holds no phrase", "write one phrase a line")
    return phrases


@lru_cache(maxsize=1)
def shapes_vocabulary() -> tuple[str, ...]:
    """Words of the world of shapes and pairs of them, made from the scene renderer's own lists."""
    from autointerp.shapes.scenes import BACKGROUNDS, COLORS, SHAPES, SIZES, TEXTURES

    def joined(*lists: Iterable[str]) -> list[str]:
        return [" ".join(words) for words in product(*lists)]

    sizes, colors = tuple(SIZES), tuple(COLORS)
    looks = (sizes, colors, TEXTURES, SHAPES)
    phrases: list[str] = []
    for words in looks:
        phrases += words
    phrases += [f"{b} background" for b in BACKGROUNDS]
    for i, first in enumerate(looks):
        for second in looks[i + 1 :]:
            phrases += joined(first, second)
    phrases += ["object", "edge", "inside", "background"]
    return tuple(dict.fromkeys(phrases))


SHAPES_CONTRASTS: tuple[tuple[str, ...], ...] = (("edge", "inside", "background"), ("small", "large"))
"""Phrases of the world of shapes of which one excludes the others, and which look alike to an embedder."""


def default_vocabulary(world: bool = True) -> tuple[str, ...]:
    """The shipped phrases, with those of the world of shapes first unless `world` is false."""
    return tuple(dict.fromkeys((shapes_vocabulary() if world else ()) + load_vocabulary()))
