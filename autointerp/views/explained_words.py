"""The words of a prompt beside the features of its picture: where the model attends to each, see `word_maps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.crops.geometry import cell_box
from autointerp.crops.render import MARKED
from autointerp.diffusion.word_maps import WordMaps, normalized
from autointerp.errors import UsageError
from autointerp.project.context import Context

if TYPE_CHECKING:
    from autointerp.crops.geometry import Box
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.word_maps import WordRequest

_DIGITS = 6
"""Decimals of a map in JSON."""


@dataclass(frozen=True)
class ExplainedWord:
    """A word of the prompt, and where in the picture the model attends to it.

    Attributes:
        word: The word as the prompt writes it.
        start: Its first character in the prompt.
        attention: Mean attention of an image token to a token of the word: a share of its whole attention.
        cell: (row, col) of the largest attention.
        box: (left, top, right, bottom) in pixels around the cells in the upper half between the least and the largest
            attention.
        map: Attention over the grid, float32 [rows, cols].
    """

    word: str
    start: int
    attention: float
    cell: tuple[int, int]
    box: Box
    map: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `words` in `explain --words --json`."""
        return {
            "word": self.word,
            "start": self.start,
            "attention": self.attention,
            "cell": list(self.cell),
            "box": list(self.box),
            "grid": list(self.map.shape),
            "map": [[round(value, _DIGITS) for value in row] for row in self.map.tolist()],
        }


class PictureWords:
    """Reads the word maps of the one picture that is being generated.

    Args:
        ctx: The workspace.
        job: The picture.

    Raises:
        UsageError: The picture has no caption, or it is not known where the model attends to words.
    """

    def __init__(self, ctx: Context, job: ImageJob) -> None:
        from autointerp.diffusion.words import attention_of

        if not job.prompt:
            raise UsageError("the picture has no caption, so there are no words", "leave --words out, or give a prompt")
        attention_of(ctx.description)
        self._ctx = ctx
        self._maps: WordMaps | None = None

    def request(self) -> WordRequest:
        """Return what reads the maps in a generation."""
        from autointerp.diffusion.word_maps import WordRequest
        from autointerp.diffusion.words import WordReader

        def keep(_job: ImageJob, maps: WordMaps) -> None:
            self._maps = maps

        return WordRequest(WordReader(self._ctx.description, self._ctx.generation.max_sequence_length), keep)

    def explained(self, size: tuple[int, int]) -> tuple[ExplainedWord, ...]:
        """Return the words in the order of the prompt.

        Args:
            size: Width and height of the picture in pixels.
        """
        if self._maps is None:
            return ()
        marked = normalized(self._maps.maps) >= MARKED
        return tuple(
            ExplainedWord(
                word.text,
                word.start,
                float(heat.mean()),
                _peak(heat),
                _around(on, size),
                heat,
            )
            for word, heat, on in zip(self._maps.words, self._maps.maps, marked, strict=True)
        )


def _peak(heat: np.ndarray) -> tuple[int, int]:
    row, col = divmod(int(heat.argmax()), heat.shape[1])
    return row, col


def _around(on: np.ndarray, size: tuple[int, int]) -> Box:
    """Return the box around some cells in pixels of the picture; around all where there are none."""
    rows, cols = np.nonzero(on if on.any() else ~on)
    shape = (on.shape[0], on.shape[1])
    left, top, _, _ = cell_box((int(rows.min()), int(cols.min())), shape, size)
    _, _, right, bottom = cell_box((int(rows.max()), int(cols.max())), shape, size)
    return left, top, right, bottom
