"""The questions of the second training of shapes-vlm.

Naming: features of the first training, of directions (`simulated.py`), and mixtures in which no concept holds often
enough; the answer is what the rule of a truth says of the shown cells (`sampled.py`). Judging: names as labelers write
them, parts of objects among them, and cells that nearly fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.shapes.concepts import Concept
from autointerp.shapes.scenes import ATTRIBUTES, GRID, POSITIONS
from training.shapes.phrases import foreign_phrase
from training.shapes.refine.sampled import SampleRule
from training.shapes.refine.simulated import SimulatedFeature
from training.shapes.vlm_pool import Pool
from training.shapes.vlm_questions import (
    JudgeQuestion,
    LabelQuestion,
    Questions,
    Shown,
    part_phrase,
    said,
    told_by_others,
)
from training.shapes.vlm_text import concept_name, explanation, label_reply

LABEL_WAYS = ("concept", "direction", "mixture")
LABEL_SHARES = (0.4, 0.25, 0.35)
MIXED_KINDS = ("single", "pair", "part", "background", "object")
MIXED_SHARES = ((0.28, 0.27, 0.25, 0.12, 0.08), (0.15, 0.15, 0.15, 0.45, 0.1))
"""Of what most cells of a mixture show, and of what the others show."""
JUDGE_KINDS = ("part", "part of", "single", "pair", "words", "background", "object", "foreign")
JUDGE_SHARES = (0.27, 0.12, 0.2, 0.21, 0.05, 0.07, 0.05, 0.03)
PART_NAMES = {
    "edge": ("edge of objects", "edge", "edges", "edges of objects", "object edge", "outline of objects"),
    "inside": ("inside of objects", "inside", "interior of objects", "inside of an object"),
    "object": ("object", "objects", "any object", "shape"),
}
"""How parts and plain objects are said; the first one half of the time, as shapes-vlm does."""


def _one_of(names: Sequence[str], rng: np.random.Generator) -> str:
    return names[0] if rng.random() < 0.6 else str(rng.choice(list(names)))


class RefiningQuestions(Questions):
    """Draws questions from a pool whose cells may be marked where `markable` is true, and of simulated features."""

    def __init__(self, pool: Pool, markable: np.ndarray | None = None, bank: Sequence[SimulatedFeature] = ()) -> None:
        super().__init__(pool, markable)
        self.bank, self.rule = bank, SampleRule(pool)
        self._kept: dict[str, np.ndarray] = {}

    # Naming.

    def label(
        self, rng: np.random.Generator, crops: int = 10, negatives: int = 3, about: str = ""
    ) -> LabelQuestion | None:
        """See `Questions.label`; `drawn` is the concept where one was drawn, and None for directions and mixtures."""
        way = "concept" if about else str(rng.choice(LABEL_WAYS, p=LABEL_SHARES))
        if way == "concept" or (way == "direction" and not self.bank):
            known = super().label(rng, crops, negatives, about)
            return None if known is None else self._answered(known.crops, known.negatives, known.drawn)
        shown, silent = self._direction(crops, rng) if way == "direction" else self._mixed(crops, rng)
        if len(silent) < negatives or rng.random() < 0.1:
            silent = np.arange(len(self.pool))
        without = tuple(Shown(int(i)) for i in rng.choice(silent, negatives, replace=False))
        return self._answered(shown, without, None)

    def _answered(self, crops: tuple[Shown, ...], negatives: tuple[Shown, ...], drawn: Concept | None) -> LabelQuestion:
        spoken = self.rule.spoken(crops)
        parts = [part_phrase(self.pool, s.picture, s.cell) for s in crops if s.cell]
        reply = label_reply(spoken.common[-1], spoken.share, spoken.confidence, parts)
        return LabelQuestion(crops, negatives, drawn, spoken.common, reply)

    def _direction(self, count: int, rng: np.random.Generator) -> tuple[tuple[Shown, ...], np.ndarray]:
        """Cells of a simulated feature, one a picture, as often as the picture has active cells."""
        feature = self.bank[int(rng.integers(len(self.bank)))]
        shown: dict[int, Shown] = {}
        for i in rng.permutation(len(feature.cells)):
            picture, row, col = feature.cells[i].tolist()
            shown.setdefault(picture, Shown(picture, (row, col)))
            if len(shown) == count:
                break
        return tuple(shown.values()), feature.silent

    def _mixed(self, count: int, rng: np.random.Generator) -> tuple[tuple[Shown, ...], np.ndarray]:
        """Cells of one concept in a share of 25 to 72%, the others of a second concept, or random ones of the layer."""
        masks: list[np.ndarray] = []
        while len(masks) < 2:
            _, mask = self._drawn(str(rng.choice(MIXED_KINDS, p=MIXED_SHARES[len(masks)])), rng)
            if mask is not None and (may := mask & self._markable).any():
                masks.append(may)
        share, any_cell = rng.uniform(0.25, 0.72), rng.random() < 0.5
        cells = [np.argwhere(mask) for mask in masks]
        shown = []
        for first in rng.random(count) < share:
            if not first and any_cell:
                shown.append(self._random_cell(rng))
            else:
                some = cells[0 if first else 1]
                picture, row, col = some[rng.integers(len(some))].tolist()
                shown.append(Shown(picture, (row, col)))
        return tuple(shown), np.flatnonzero(~(masks[0] | masks[1]).any((1, 2)))

    def _random_cell(self, rng: np.random.Generator) -> Shown:
        """A cell as random cells of a layer are: most of them background."""
        picture = int(rng.integers(len(self.pool)))
        on = self.pool.cells["part"][picture] >= 0
        wanted = on if rng.random() < on.mean() else ~on
        cells = np.argwhere(wanted & self._markable[picture])
        cells = cells if len(cells) else np.argwhere(self._markable[picture])
        row, col = cells[rng.integers(len(cells))].tolist()
        return Shown(picture, (row, col))

    # Judging.

    def judge(
        self, rng: np.random.Generator, count: int = 8, marked: bool = False, about: str = ""
    ) -> JudgeQuestion | None:
        """See `Questions.judge`. Marks are asked about parts too, and half of the wrong ones nearly fit."""
        if not marked:
            return super().judge(rng, count, marked, about)
        while True:
            kind = "about" if about else str(rng.choice(JUDGE_KINDS, p=JUDGE_SHARES))
            if kind == "foreign":
                return self._foreign(rng, count)
            name, mask, concept, words = self._named(kind, about, rng)
            answers = tuple(bool(a) for a in rng.random(count) < 0.5)
            shown = self._near_marks(mask, words, answers, rng)
            if shown:
                drawn = rng.random()
                told = explanation(concept, rng.uniform(0.6, 1.0)) if concept and drawn < 0.25 else ""
                told = told_by_others(name, rng) if drawn > 0.85 else told
                return JudgeQuestion(name, told, shown, answers, kind, mask[[s.picture for s in shown]])
            if about:
                return None

    def _foreign(self, rng: np.random.Generator, count: int) -> JudgeQuestion:
        shown = tuple(self._anywhere(rng) for _ in range(count))
        nowhere = np.zeros((count, GRID, GRID), bool)
        return JudgeQuestion(foreign_phrase(rng).text, "", shown, (False,) * count, "foreign", nowhere)

    def _named(
        self, kind: str, about: str, rng: np.random.Generator
    ) -> tuple[str, np.ndarray, Concept | None, tuple[str, ...]]:
        """A name, where it holds, its concept if it has one, and its words."""
        if kind == "words":
            words = self._object_words(int(rng.integers(3, 5)), rng)
            return said(words, rng), self.words_mask(words), None, words
        if kind == "part of":
            part = str(rng.choice(ATTRIBUTES["part"]))
            words = self._object_words(int(rng.integers(1, 3)), rng)
            words = tuple(w for w in words if w not in POSITIONS) or words
            thing = " ".join(w for w in words if w not in POSITIONS) or "object"
            if not any(w in ATTRIBUTES["shape"] for w in words):
                thing = thing if thing == "object" else f"{thing} object"
            where = "".join(f" {w}" for w in words if w in POSITIONS)
            lead = str(rng.choice([f"{part} of", f"{part} of a"]))
            return f"{lead} {thing}{where}", self.words_mask((*words, part)), None, (*words, part)
        row = self._row(about) if about else int(rng.choice(self._of_kind[kind]))
        concept = self.pool.concepts[row]
        mask = self.pool.masks[row]
        if concept.kind in ("part", "object"):
            return _one_of(PART_NAMES[concept.name], rng), mask, concept, concept.words
        name = concept_name(concept) if rng.random() < 0.6 else said_whole(concept.words, rng)
        return name, mask, concept, concept.words

    def _near_marks(
        self, mask: np.ndarray, words: Sequence[str], answers: Sequence[bool], rng: np.random.Generator
    ) -> tuple[Shown, ...]:
        """Marks that fit or not. Of those that do not, a third are random cells of the layer, a third lie next to a
        cell that fits, and a third share a word with the name or lie on an object.
        """
        fits = np.argwhere(mask & self._markable)
        if len(fits) < 2 * len(answers) + 4:
            return ()
        shown: list[Shown] = []
        for answer in answers:
            picture, row, col = fits[rng.integers(len(fits))].tolist()
            if answer:
                shown.append(Shown(picture, (row, col)))
                continue
            for _ in range(30):
                way = rng.random()
                if way < 0.34:
                    one = self._random_cell(rng)
                elif way < 0.67:
                    one = self._next_to(fits[rng.integers(len(fits))], mask, rng) or self._anywhere(rng)
                else:
                    one = self._sharing(words, rng)
                if not self._holds(mask, one):
                    shown.append(one)
                    break
        return tuple(shown) if len(shown) == len(answers) else ()

    def _next_to(self, cell: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Shown | None:
        """A markable cell within two of a cell at which the name does not hold."""
        picture, row, col = cell.tolist()
        top, left = max(row - 2, 0), max(col - 2, 0)
        window = (picture, slice(top, row + 3), slice(left, col + 3))
        near = np.argwhere(self._markable[window] & ~mask[window])
        if not len(near):
            return None
        down, right = near[rng.integers(len(near))].tolist()
        return Shown(picture, (top + down, left + right))

    def _sharing(self, words: Sequence[str], rng: np.random.Generator) -> Shown:
        """A cell of which some words hold, one drawn of them; any cell of an object where there is only one."""
        word = str(rng.choice(list(words)))
        if len(words) < 2 or word == "object":
            return self._anywhere(rng)
        picture, row, col = self._of_word(word)[rng.integers(len(self._of_word(word)))].tolist()
        return Shown(picture, (row, col))

    def _of_word(self, word: str) -> np.ndarray:
        if word not in self._kept:
            self._kept[word] = np.argwhere(self.words_mask([word]) & self._markable)
        return self._kept[word]


def said_whole(words: Sequence[str], rng: np.random.Generator) -> str:
    """A name of these words as `said` draws one, but of the whole thing: no name that says a part stands for more."""
    while True:
        name = said(words, rng)
        if "edge of" not in name and "inside of" not in name:
            return name
