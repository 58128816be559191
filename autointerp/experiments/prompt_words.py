"""What readouts of words get: the attention to each word of a prompt in each cell, or the prompt's words alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from autointerp.diffusion.word_maps import joined, normalized
from autointerp.diffusion.words import words_of

if TYPE_CHECKING:
    import torch

    from autointerp.diffusion.word_maps import WordMaps
    from autointerp.diffusion.words import WordReader

MOST_WORDS = 1024
"""Words that a readout gets, at most: those that most prompts have. A matrix of all pairs of more would not fit."""


class PromptWords:
    """The vocabulary of some prompts, in lower case, as inputs of readouts: one for each word.

    Args:
        reader: Finds the words of prompts.
        prompts: The prompts that have the vocabulary: those on which readouts are fitted.
    """

    def __init__(self, reader: WordReader, prompts: Sequence[str]) -> None:
        self.reader = reader
        counts = Counter(word for prompt in prompts for word in self._words(prompt))
        # Sorted, so that words which are as frequent come in one order on every machine.
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        self.vocabulary = tuple(sorted(ranked[:MOST_WORDS]))
        self._place = {word: place for place, word in enumerate(self.vocabulary)}

    def attended(self, maps: Sequence[WordMaps], grid: tuple[int, int]) -> torch.Tensor:
        """Return the attention to each word of the vocabulary, float32 [pictures * cells, words].

        Each word's map goes from 0 at its least cell to 1 at its largest; a word that a picture's prompt lacks is 0.

        Args:
            maps: The word maps of each picture.
            grid: Rows and columns of the cells.
        """
        import torch

        found = np.zeros((len(maps), grid[0] * grid[1], len(self.vocabulary)), np.float32)
        for picture, one in enumerate(maps):
            words, heat = joined(replace(one, maps=one.at(grid)))
            known = [i for i, word in enumerate(words) if word in self._place]
            places = [self._place[words[i]] for i in known]
            found[picture][:, places] = normalized(heat).reshape(len(words), grid[0] * grid[1])[known].T
        return torch.from_numpy(found).flatten(0, 1)

    def said(self, prompts: Sequence[str], cells: int) -> torch.Tensor:
        """Return which words each prompt has, the same in all its cells, float32 [prompts * cells, words]."""
        import torch

        found = torch.zeros(len(prompts), cells, len(self.vocabulary))
        for row, prompt in zip(found, prompts, strict=True):
            row[:, [self._place[word] for word in self._words(prompt) if word in self._place]] = 1
        return found.flatten(0, 1)

    def _words(self, prompt: str) -> set[str]:
        """Return the words of a prompt, as the model is given it."""
        return {word.text.lower() for word in words_of(self.reader.attention.as_read(prompt))}
