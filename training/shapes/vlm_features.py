"""What the fixed eyes of shapes-vlm see of a pool, kept: most steps of the language model then look at nothing anew.

A picture has 144 cells that could be marked; some of them are drawn once, and only these are asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from autointerp.shapes.concepts import REGIONS
from autointerp.shapes.scenes import ATTRIBUTES, GRID, POSITIONS
from training.shapes.phrases import PATCHES
from training.shapes.vlm_pool import Pool
from training.shapes.vlm_questions import Shown

TOKENS = PATCHES * PATCHES + 1
"""Tokens of an image: its class token, which says what is marked, and its patches."""
ON_OBJECTS, ELSEWHERE = 11, 5
"""Cells of a picture that may be marked, at most."""
KEPT = 2
"""Patches of a marked view that are kept, drawn at random: its class token says what counts, and the language model
needs a few to know one from the other."""

WORDS: tuple[str, ...] = (
    *(value for name, values in ATTRIBUTES.items() for value in values if (name, value) != ("part", "inside")),
    "background",
    *sorted({word for place in POSITIONS for word in place.split()}),
)
"""Words that can be true of a cell."""

Look = Callable[[Sequence[Shown]], torch.Tensor]
"""Pictures to features [n, TOKENS, width]."""


def markable_cells(pool: Pool, seed: int, on_objects: int = ON_OBJECTS, elsewhere: int = ELSEWHERE) -> np.ndarray:
    """The cells that are drawn to be marked, so many of a picture at most, bool [n, 12, 12]."""
    chosen = np.zeros((len(pool), GRID, GRID), bool)
    for picture in range(len(pool)):
        rng = np.random.default_rng((seed, 68, picture))
        on = pool.cells["part"][picture] >= 0
        for cells, most in ((np.argwhere(on), on_objects), (np.argwhere(~on), elsewhere)):
            rows, cols = rng.permutation(cells)[:most].T
            chosen[picture, rows, cols] = True
    return chosen


class Features:
    """Features of whole pictures, all tokens; and of views marked at `markable` cells, 1 + `kept` tokens.

    Args:
        pool: The pictures.
        markable: Cells that are marked, bool [n, 12, 12].
        look: The eyes.
        seed: Of the patches that are kept.
        advance: Called with the number of views looked at, after each batch.
        kept: Patches of each marked view that are kept.
    """

    def __init__(
        self,
        pool: Pool,
        markable: np.ndarray,
        look: Look,
        seed: int,
        advance: Callable[[int], object] | None = None,
        kept: int = KEPT,
    ) -> None:
        self.cells = np.argwhere(markable)
        """Picture, row and column of each marked view, int [m, 3]."""
        self._row = np.full(markable.shape, -1, np.int32)
        self._row[tuple(self.cells.T)] = np.arange(len(self.cells))
        rng = np.random.default_rng((seed, 69))
        patches = np.sort(rng.random((len(self.cells), TOKENS - 1)).argsort(1)[:, :kept], 1) + 1
        self.tokens = np.concatenate([np.zeros((len(self.cells), 1), int), patches], 1)
        """Which tokens of each marked view are kept, int [m, 1 + kept], ascending."""
        wholes, marks = [], []
        for start in range(0, len(pool), 128):
            wholes.append(look([Shown(i) for i in range(start, min(start + 128, len(pool)))]).half())
            if advance:
                advance(len(wholes[-1]))
        for start in range(0, len(self.cells), 128):
            here = self.cells[start : start + 128].tolist()
            seen = look([Shown(picture, (row, col)) for picture, row, col in here])
            tokens = torch.from_numpy(self.tokens[start : start + 128, :, None]).expand(-1, -1, seen.shape[-1])
            marks.append(seen.gather(1, tokens).half())
            if advance:
                advance(len(here))
        self.wholes, self.marks = torch.cat(wholes), torch.cat(marks)

    def of(self, shown: Sequence[Shown], rng: np.random.Generator, patches: int) -> tuple[np.ndarray, torch.Tensor]:
        """Some tokens of each: bool [n, TOKENS], and the features of these, one after the other [sum, width].

        The class token and as many `patches`: of a marked view of those that are kept, and of a whole picture of all,
        drawn at random.
        """
        chosen = np.zeros((len(shown), TOKENS), bool)
        found = []
        for i, s in enumerate(shown):
            if s.cell:
                row = self._row[(s.picture, *s.cell)]
                kept = self.tokens.shape[1] - 1
                drawn = [0, *(1 + np.sort(rng.permutation(kept)[:patches]))] if patches < kept else range(1 + kept)
                chosen[i, self.tokens[row, drawn]] = True
                found.append(self.marks[row, drawn])
            else:
                chosen[i, [0, *(1 + rng.permutation(TOKENS - 1)[:patches])]] = True
                found.append(self.wholes[s.picture, torch.from_numpy(chosen[i])])
        return chosen, torch.cat(found).float()


def words_at(pool: Pool, pictures: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Which of `WORDS` hold in cells, positions included, bool [n, words]."""
    hold = np.zeros((len(pictures), len(WORDS)), bool)
    on = pool.cells["part"][pictures, rows, cols] >= 0
    for name, values in ATTRIBUTES.items():
        here = pool.cells[name][pictures, rows, cols]
        applies = ~on if name == "background" else on
        for n, value in enumerate(values):
            if value in WORDS:
                hold[:, WORDS.index(value)] |= applies & (here == n)
    hold[:, WORDS.index("background")] = ~on
    inside = np.zeros((GRID, GRID), bool)
    for place, region in REGIONS.items():
        inside[:] = False
        inside[region] = True
        for word in place.split():
            hold[:, WORDS.index(word)] |= inside[rows, cols]
    return hold


def words_of_picture(pool: Pool) -> np.ndarray:
    """Which of `WORDS`, positions left out, hold in any cell of each picture, bool [n, words]."""
    hold = np.zeros((len(pool), len(WORDS)), bool)
    on = pool.cells["part"] >= 0
    for name, values in ATTRIBUTES.items():
        applies = ~on if name == "background" else on
        for n, value in enumerate(values):
            if value in WORDS:
                hold[:, WORDS.index(value)] |= ((pool.cells[name] == n) & applies).any((1, 2))
    hold[:, WORDS.index("background")] = True
    return hold
