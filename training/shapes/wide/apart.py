"""Questions what tells a feature from its namesakes: features that share a name, and of which some are the same.

Each feature fires on the shared name and on one word more, or on the name alone. The answer is what the features were
drawn to be, not what few cells happen to show.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from autointerp.labeling.labelers.apart import OTHER_CELLS, OWN_CELLS
from training.shapes.vlm_questions import ApartQuestion, Shown
from training.shapes.wide.marks import MarkBank
from training.shapes.wide.sayings import phrase
from training.shapes.wide.spoken import fits_together
from training.shapes.wide.truth import Atom
from training.shapes.wide.words import FINE, INDEX, KIND_OF, is_left_out

OTHERS = (0.2, 0.1, 0.1, 0.15, 0.45)
"""How often a feature has one to five namesakes that are shown."""
SAME, PLAIN = 0.35, 0.3
"""Shares of the namesakes that respond to the same, and of those that fire on the name without another word."""
OF_MORE = 0.88
"""Share of the features that fire on a word more."""
OF_PAIRS = 0.4
"""Share of the names of two words."""
MOST_ALIKE = 0.6
"""Share of the cells of a name in which a word holds, from which on it tells no feature apart."""
STRAY = 0.08
"""Share of the cells that are of the name alone, in half of the questions."""
NOT_NAMES = frozenset(("background", "object", "margin", "open", "between", "corner"))
"""Words that say no difference that a label may state: the world's lexicon lacks most of them."""
LEAST = OWN_CELLS + OTHER_CELLS
"""Pictures that a feature needs."""


class ApartQuestions:
    """Draws features that share a name from marks, `wide` ones or those of the world."""

    def __init__(self, bank: MarkBank, wide: bool = False) -> None:
        self.bank = bank
        self._marks = np.flatnonzero(bank.wide == wide)

    def draw(self, rng: np.random.Generator, others: int | None = None) -> ApartQuestion | None:
        """Draw a question with so many other features; None where too few pictures show what was drawn."""
        bank = self.bank
        others = others or 1 + int(rng.choice(len(OTHERS), p=OTHERS))
        anchor = int(rng.choice(self._marks))
        here = [word for word in bank.words_at(anchor) if word != "background"]
        name = self._name(here, rng)
        named = bank.having(name, self._marks)
        if bank.pictures(named) < 2 * LEAST:
            return None
        own = self._more(here, name, named, rng) if rng.random() < OF_MORE else None
        words: list[str | None] = []
        for _ in range(others):
            drawn = rng.random()
            if drawn < SAME + PLAIN:
                words.append(own if drawn < SAME else None)
            else:
                words.append(self._more(bank.words_at(int(rng.choice(named))), name, named, rng))
        stray = STRAY if rng.random() < 0.5 else 0.0
        shown = [self._cells(named, own, OWN_CELLS, stray, rng)]
        shown += [self._cells(named, word, OTHER_CELLS, stray, rng) for word in words]
        same = tuple(number for number, word in enumerate(words, 1) if word == own)
        difference, renamed = self._said(name, own) if own and len(same) < others else ("", "")
        return ApartQuestion(shown[0], tuple(shown[1:]), phrase(_atoms(name)), same, difference, renamed)

    def _name(self, here: list[str], rng: np.random.Generator) -> frozenset[str]:
        """Draw one or two of the words at a cell, none of them fine."""
        coarse = [word for word in rng.permutation(here).tolist() if word not in FINE]
        if rng.random() < OF_PAIRS:
            for word in coarse[1:]:
                if fits_together(_atoms((coarse[0], word))) and not is_left_out({coarse[0], word}):
                    return frozenset((coarse[0], word))
        return frozenset(coarse[:1])

    def _more(self, here: list[str], name: frozenset[str], named: np.ndarray, rng: np.random.Generator) -> str | None:
        """Draw one of the words at a cell that the name does not say, and that many of its cells lack."""
        kinds = {KIND_OF[word] for word in name} - {"part", "place"}
        for word in rng.permutation(here).tolist():
            if word in name or word in NOT_NAMES or KIND_OF[word] in kinds or is_left_out({word, *name}):
                continue
            held = self.bank.holds[named, INDEX[word]]
            if held.mean() <= MOST_ALIKE and self.bank.pictures(named[held]) >= LEAST:
                return str(word)
        return None

    def _cells(
        self, named: np.ndarray, word: str | None, count: int, stray: float, rng: np.random.Generator
    ) -> tuple[Shown, ...]:
        """Draw cells of a feature, a few of them of the name alone."""
        marks = named if word is None else named[self.bank.holds[named, INDEX[word]]]
        chosen = self.bank.draw(marks, count, rng)
        others = rng.random(count) < stray
        chosen[others] = rng.choice(named, others.sum())
        return tuple(self.bank.shown(mark) for mark in chosen)

    def _said(self, name: frozenset[str], word: str) -> tuple[str, str]:
        """Return a difference, and a name that says it, if one can."""
        kept = {one for one in name if KIND_OF[one] != KIND_OF[word] and one != "object"}
        renamed = _atoms((*kept, word))
        return phrase(_atoms([word])), phrase(renamed) if kept and fits_together(renamed) else ""


def _atoms(words: Iterable[str]) -> tuple[Atom, ...]:
    return tuple(("", word) for word in sorted(words))
