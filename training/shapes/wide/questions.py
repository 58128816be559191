"""Questions in the words of the wider world: marked cells to name, and names to judge marks by.

Each simulates a sparse feature on the exact truth of renders. What is drawn is not the answer: that is what the shown
cells speak for (`spoken.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from autointerp.shapes.scenes import GRID
from training.shapes.vlm_questions import JudgeQuestion, LabelQuestion, Shown
from training.shapes.vlm_text import NOTHING, SHARES
from training.shapes.wide.marks import MarkBank
from training.shapes.wide.sayings import fires_on, phrase, reworded
from training.shapes.wide.spoken import Spoken, fits_together, nameable, speak
from training.shapes.wide.words import NEVER_SEEN, ON_OBJECT, PARTS, WORDS, is_left_out

LEAST_PICTURES = 4
"""Pictures at least in which a feature is active."""
MIXED = 0.2
"""Share of the questions for a name of which the cells are of several features, or of none."""
OF_PAIRS = 0.5
"""Share of the features that fire on two words."""
OF_PARTS = 0.2
"""Share of the features of which a part is drawn, beside those that fire on any word. Where at an object a cell lies is
seen in no look of the cell itself, and takes more questions than a color."""
OF_WORLD = 0.4
"""Share of the judge's questions that are about parts in pictures of the world of shapes, in which it is used."""


@dataclass(frozen=True)
class WideLabelQuestion(LabelQuestion):
    """A question for a name, the words that were drawn, and what the cells speak for."""

    words: frozenset[str] = frozenset()
    spoken: Spoken = Spoken(frozenset(), 0.0, 0.0)


def wide_reply(spoken: Spoken) -> str:
    """Return the reply to the labeling prompt; its parts are empty."""
    often = next(word for least, word in SHARES if spoken.share >= least)
    atoms = sorted(spoken.atoms)
    return json.dumps(
        {
            "name": phrase(atoms),
            "explanation": f"Fires on {fires_on(atoms)} in {often} examples." if atoms else NOTHING,
            "interpretable": bool(atoms),
            "confidence": round(spoken.sure, 1),
            "parts": ["1: "],
        }
    )


class WideQuestions:
    """Draws questions from marks of the wider world."""

    def __init__(self, bank: MarkBank) -> None:
        self.bank = bank
        self._marks = np.flatnonzero(bank.wide)
        self._pictures = np.flatnonzero(bank.pool.wide)
        able = nameable() & (bank.holds[self._marks].sum(0) >= 2 * LEAST_PICTURES)
        self.words = [word for word, ok in zip(WORDS, able, strict=True) if ok and word not in NEVER_SEEN]
        """Words that may be asked about."""
        self._parts = [word for word in self.words if word in PARTS]
        self._of = {word: bank.having(frozenset([word]), self._marks) for word in self.words}
        self._world = np.flatnonzero(~bank.wide)

    # Naming.

    def label(self, rng: np.random.Generator, crops: int, negatives: int) -> WideLabelQuestion | None:
        """Draw cells of a feature that fires on a word or a pair, and pictures in which it is silent.

        None where too few pictures show what was drawn, and where the cells speak for what is left out.
        """
        words: frozenset[str] = frozenset()
        if rng.random() < MIXED:
            marks = self._mixed(rng, crops)
        else:
            words = self._feature(rng)
            marks = self.bank.having(words, self._marks)
            if self.bank.pictures(marks) < LEAST_PICTURES:
                return None
            marks = self.bank.draw(marks, crops, rng)
            stray = 0.0 if rng.random() < 0.5 else rng.uniform(0, 0.35)
            others = rng.random(len(marks)) < stray
            marks[others] = rng.choice(self._marks, others.sum())
        if len(marks) < crops:
            return None
        question = self.question(marks, words, negatives, rng)
        return None if is_left_out({word for _, word in question.spoken.atoms}) else question

    def question(
        self, marks: np.ndarray, words: frozenset[str], negatives: int, rng: np.random.Generator
    ) -> WideLabelQuestion:
        """Return the question for a name of some marks, with pictures in which not all of the words are."""
        bank = self.bank
        spoken = speak(bank.cells[marks, 0], bank.holds[marks], bank.pool.together[1][: len(WORDS), : len(WORDS)])
        silent = self._pictures
        if words and rng.random() < 0.9:
            present = bank.pool.cells.present[silent][:, [WORDS.index(word) for word in words]].all(1)
            silent = silent[~present] if (~present).sum() >= negatives else silent
        without = tuple(Shown(int(i)) for i in rng.choice(silent, negatives, replace=False))
        crops = tuple(bank.shown(mark) for mark in marks)
        return WideLabelQuestion(crops, without, None, (), wide_reply(spoken), words, spoken)

    def _feature(self, rng: np.random.Generator) -> frozenset[str]:
        """Draw a word, each as often but for the parts, or a pair of words that some cell has."""
        word = str(rng.choice(self._parts if rng.random() < OF_PARTS else self.words))
        if rng.random() < OF_PAIRS:
            anchor = int(rng.choice(self._of[word]))
            for other in rng.permutation(self.bank.words_at(anchor)).tolist():
                pair = frozenset((word, other))
                known = len(pair) == 2 and other in self._of and not is_left_out(pair)
                if known and fits_together((("", word), ("", other))):
                    return pair
        return frozenset([word])

    def _mixed(self, rng: np.random.Generator, crops: int) -> np.ndarray:
        """Draw any marks, or those of two features, or of one feature among any marks."""
        way = rng.random()
        if way < 0.3:
            return self.bank.draw(self._marks, crops, rng)
        share = rng.uniform(0.3, 0.65)
        first = rng.choice(self.bank.having(self._feature(rng), self._marks), crops)
        rest = self.bank.having(self._feature(rng), self._marks) if way < 0.7 else self._marks
        return np.where(rng.random(crops) < share, first, rng.choice(rest, crops))

    # Judging.

    def judge(self, rng: np.random.Generator) -> JudgeQuestion | None:
        """Draw a name and one mark, which fits or not; half of those that do not share a word with the name.

        Of a part in pictures of the world, half of them lie at an object too, or beside one, as the part does.
        """
        of_world = bool(len(self._world) and rng.random() < OF_WORLD)
        words = frozenset([str(rng.choice(self._parts))]) if of_world else self._feature(rng)
        marks = self._world if of_world else self._marks
        fits = self.bank.having(words, marks)
        if not len(fits):
            return None
        answer = bool(rng.random() < 0.5)
        mark = int(rng.choice(fits))
        if not answer:
            near = marks
            if of_world and rng.random() < 0.5:
                near = self.bank.having(frozenset(["edge" if words & ON_OBJECT else "outside"]), marks)
            elif len(words) > 1 and rng.random() < 0.5:
                near = self._of[str(rng.choice(sorted(words)))]
            wrong = np.setdiff1d(rng.choice(near, 24), fits) if len(near) else near
            if not len(wrong):
                return None
            mark = int(rng.choice(wrong))
        name = reworded(phrase(sorted(("", word) for word in words)), words, rng, 0.2)
        return JudgeQuestion(name, "", (self.bank.shown(mark),), (answer,), "wide", np.zeros((1, GRID, GRID), bool))
