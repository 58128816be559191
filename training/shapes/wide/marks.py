"""Marked cells of a pool, and the words that hold in each: questions in words of the wider world are made of them."""

from __future__ import annotations

import numpy as np

from training.shapes.vlm_questions import Shown
from training.shapes.wide.pool import WidePool
from training.shapes.wide.words import INDEX, WORDS


class MarkBank:
    """The cells of a pool that may be marked.

    Args:
        pool: The pictures.
        markable: Cells that may be marked, bool [n, GRID, GRID].
    """

    def __init__(self, pool: WidePool, markable: np.ndarray) -> None:
        self.pool = pool
        self.cells = np.argwhere(markable)
        """Picture, row and column of each mark, int [marks, 3]."""
        self.holds = np.concatenate(
            [pool.cells.atoms_at(*some.T)[:, : len(WORDS)] for some in np.array_split(self.cells, len(pool) // 64 + 1)]
        )
        """Which words hold in each, bool [marks, WORDS]."""
        self.wide = pool.wide[self.cells[:, 0]]
        """Which marks are in renders of the wider world, bool [marks]."""

    def __len__(self) -> int:
        return len(self.cells)

    def shown(self, mark: int) -> Shown:
        """Return a mark as it is shown."""
        picture, row, col = self.cells[mark].tolist()
        return Shown(picture, (row, col))

    def having(self, words: frozenset[str], marks: np.ndarray) -> np.ndarray:
        """Return those of some marks in which all words hold."""
        return marks[self.holds[marks][:, [INDEX[word] for word in words]].all(1)]

    def words_at(self, mark: int) -> list[str]:
        """Return the words that hold at a mark."""
        return [WORDS[i] for i in np.flatnonzero(self.holds[mark])]

    def draw(self, marks: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw `count` of some marks at most: of different pictures first, then further ones of the same pictures."""
        order = rng.permutation(marks)
        _, first = np.unique(self.cells[order, 0], return_index=True)
        again = np.ones(len(order), bool)
        again[first] = False
        return np.concatenate([rng.permutation(order[first]), order[again]])[:count]

    def pictures(self, marks: np.ndarray) -> int:
        """Return in how many pictures some marks lie."""
        return len(np.unique(self.cells[marks, 0]))
