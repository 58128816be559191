"""What can be erased from a model's pictures, and what is true of them before and after.

In a known world each concept is a value of an attribute, such as `red` of `color`. Of any other model's pictures the
phrases that are asked about are concepts, and each is told from the cells without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autointerp.errors import UsageError, nearest
from autointerp.experiments.erasers import words_without
from autointerp.experiments.likeness import SAME, latent_distances
from autointerp.experiments.scene_batches import refuse_phrases
from autointerp.experiments.subjects import ReadPicture, resized
from autointerp.project.segmenters import scene_reader_of
from autointerp.shapes.concepts import LEAST_CELLS
from autointerp.shapes.scenes import ATTRIBUTES

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.project.context import Context
    from autointerp.worlds import SceneReader

ERASABLE = ("color", "shape", "texture", "background")
"""Attributes of the shapes world whose values are erased."""


@dataclass(frozen=True)
class ErasedCounts:
    """What became of one picture.

    Attributes:
        had: Whether it showed the concept.
        gone: Whether it did and does no more.
        same_attribute: Cells with another value of the attribute, or another phrase, that kept it.
        attribute: Cells that had one.
        same_others: Other things that stayed, by cells.
        others: How many there were.
        valid: Whether the world could have painted it.
    """

    had: int
    gone: int
    same_attribute: int
    attribute: int
    same_others: int
    others: int
    valid: int

    def listed(self) -> list[int]:
        """Return the counts as plain JSON."""
        return [int(count) for count in astuple(self)]


class ErasableConcepts(Protocol):
    """The concepts of a model's pictures."""

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """The words of each attribute."""
        ...

    @property
    def values(self) -> Mapping[str, int]:
        """The number of values that cells have, by attribute."""
        ...

    def place(self, word: str) -> tuple[str, int]:
        """Return a word's attribute, and its number there.

        Raises:
            UsageError: There is no such concept.
        """
        ...

    def read(self, pictures: Sequence[Image.Image]) -> list[ReadPicture]:
        """Read pictures."""
        ...

    def cells(self, one: ReadPicture, grid: tuple[int, int]) -> dict[str, np.ndarray]:
        """Return the value of each attribute in each cell of a grid, int64 [cells]; -1 for none."""
        ...

    def counted(self, word: str, before: Sequence[ReadPicture], after: Sequence[ReadPicture]) -> list[ErasedCounts]:
        """Compare pictures with those of no edit."""
        ...

    def without(self, prompt: str, word: str) -> str:
        """Return a prompt that does not ask for a concept."""
        ...


class ShapesConcepts:
    """The 21 colors, shapes, textures and backgrounds of the shapes world.

    Args:
        ctx: The workspace.
    """

    groups: Mapping[str, Sequence[str]] = {name: ATTRIBUTES[name] for name in ERASABLE}
    values: Mapping[str, int] = {name: len(ATTRIBUTES[name]) for name in ERASABLE}

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._reader: SceneReader | None = None

    def place(self, word: str) -> tuple[str, int]:
        """See `ErasableConcepts`."""
        for name, words in self.groups.items():
            if word in words:
                return name, words.index(word)
        known = [other for words in self.groups.values() for other in words]
        raise UsageError(f"there is no concept {word!r} to erase", nearest(word, known))

    def read(self, pictures: Sequence[Image.Image]) -> list[ReadPicture]:
        """See `ErasableConcepts`."""
        if self._reader is None:
            self._reader = scene_reader_of(self._ctx, (), (1, 1))
        return [ReadPicture(*one) for one in zip(pictures, self._reader.read(pictures), strict=True)]

    def cells(self, one: ReadPicture, grid: tuple[int, int]) -> dict[str, np.ndarray]:
        """See `ErasableConcepts`."""
        return {name: resized(one.facts.cells[name], grid).reshape(-1) for name in ERASABLE}

    def counted(self, word: str, before: Sequence[ReadPicture], after: Sequence[ReadPicture]) -> list[ErasedCounts]:
        """See `ErasableConcepts`; what stays elsewhere are the other attributes, the size among them."""
        name, value = self.place(word)
        found = []
        for one, other in zip((r.facts for r in before), (r.facts for r in after), strict=True):
            was, now = one.cells[name], other.cells[name]
            had = bool((was == value).sum() >= LEAST_CELLS)
            rest = (was >= 0) & (was != value)
            same = others = 0
            for attribute in (*ERASABLE, "size"):
                if attribute != name:
                    held = one.cells[attribute] >= 0
                    same += int((one.cells[attribute] == other.cells[attribute])[held].sum())
                    others += int(held.sum())
            gone = had and bool((now == value).sum() < LEAST_CELLS)
            kept = int((was == now)[rest].sum())
            found.append(ErasedCounts(int(had), int(gone), kept, int(rest.sum()), same, others, int(other.valid)))
        return found

    def without(self, prompt: str, word: str) -> str:
        """See `ErasableConcepts`; a background leaves with its whole clause."""
        return words_without(prompt, word, "background" if word in ATTRIBUTES["background"] else "")


class PhraseConcepts:
    """Phrases that are found in pictures of any model, by detector and segmenter.

    Args:
        ctx: The workspace.
        phrases: What is erased, and what else is looked for.
        grid: Rows and columns of the masks.
    """

    def __init__(self, ctx: Context, phrases: Sequence[str], grid: tuple[int, int]) -> None:
        self._ctx, self._grid = ctx, grid
        self.phrases = tuple(dict.fromkeys(phrases))
        self._reader: SceneReader | None = None

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """The phrases are of one group."""
        return {"phrase": self.phrases}

    @property
    def values(self) -> Mapping[str, int]:
        """A phrase holds in a cell, or does not."""
        return dict.fromkeys(self.phrases, 2)

    def place(self, word: str) -> tuple[str, int]:
        """See `ErasableConcepts`."""
        return word, 0

    def read(self, pictures: Sequence[Image.Image]) -> list[ReadPicture]:
        """See `ErasableConcepts`."""
        if self._reader is None:
            self._reader = scene_reader_of(self._ctx, self.phrases, self._grid)
        return [ReadPicture(*one) for one in zip(pictures, self._reader.read(pictures), strict=True)]

    def cells(self, one: ReadPicture, grid: tuple[int, int]) -> dict[str, np.ndarray]:
        """See `ErasableConcepts`."""
        return {name: np.where(resized(self._holds(name, one), grid), 0, 1).reshape(-1) for name in self.phrases}

    def counted(self, word: str, before: Sequence[ReadPicture], after: Sequence[ReadPicture]) -> list[ErasedCounts]:
        """See `ErasableConcepts`; what stays elsewhere are places outside of the concept whose latents are the same."""
        same = latent_distances(self._ctx.model, [r.picture for r in before], [r.picture for r in after]) <= SAME
        found = []
        for one, other, alike in zip(before, after, same, strict=True):
            was, now = self._holds(word, one), self._holds(word, other)
            kept = held = 0
            for phrase in self.phrases:
                if phrase != word:
                    rest = self._holds(phrase, one) & ~was
                    kept += int((rest & self._holds(phrase, other)).sum())
                    held += int(rest.sum())
            outside = ~resized(was, alike.shape)
            gone = bool(was.any() and not now.any())
            stays = int((alike & outside).sum())
            counts = (kept, held, stays, int(outside.sum()), int(other.facts.valid))
            found.append(ErasedCounts(int(was.any()), int(gone), *counts))
        return found

    def without(self, prompt: str, word: str) -> str:
        """See `ErasableConcepts`."""
        return " ".join(re.sub(rf"\b{re.escape(word)}s?\b", " ", prompt, flags=re.IGNORECASE).split())

    def _holds(self, phrase: str, one: ReadPicture) -> np.ndarray:
        """Return the cells in which a phrase holds, bool [rows, cols]."""
        return np.asarray(one.facts.cells[phrase.lower().strip(" .")] >= 0)


def concepts_of(ctx: Context, words: Sequence[str], also: Sequence[str], grid: tuple[int, int]) -> ErasableConcepts:
    """Return the concepts of a model's pictures.

    Args:
        ctx: The workspace.
        words: What is erased.
        also: Phrases that are to stay, of a model whose world is not known.
        grid: The grid of the layer.

    Raises:
        UsageError: The model's world is not known, and no concept is named; or it is, and phrases are given.
    """
    refuse_phrases(ctx, also)
    if ctx.world.scenes is not None:
        return ShapesConcepts(ctx)
    if not words:
        raise UsageError(
            f"it is not known what is in pictures of {ctx.description.name}",
            "name a concept, e.g. experiment erase cat",
        )
    return PhraseConcepts(ctx, [*words, *also], grid)
