"""The questions that shapes-vlm is taught: sets of marked crops to name, and names to judge pictures by.

A question simulates a sparse feature: it fires where a random concept holds, on some of its cells (anywhere, on edges,
on insides, on the side that lies in one direction), and now and then elsewhere. No dictionary is looked at. The answer
to a naming question is not the concept that was drawn but the one that the exact truth of the shown cells speaks for:
of what was drawn, the shown cells may say too little, or something narrower.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.shapes.concepts import LEAST_CELLS, REGIONS, Concept
from autointerp.shapes.scenes import ATTRIBUTES, GRID, POSITIONS
from autointerp.shapes.truth import SYNONYMS
from training.shapes.phrases import foreign_phrase
from training.shapes.vlm_pool import Pool
from training.shapes.vlm_text import explanation, judge_reply, label_reply

Cell = tuple[int, int]
OBJECT_WORDS = ("size", "color", "texture", "shape")

NEARLY_ALL = 0.7
"""A concept that holds in fewer of the shown cells names nothing."""


@dataclass(frozen=True)
class Shown:
    """A picture of the pool, marked at a cell, or whole."""

    picture: int
    cell: Cell | None = None


@dataclass(frozen=True)
class LabelQuestion:
    """Crops and negatives, the concept that was drawn (None: nothing in common), and what is answered.

    `common`: what the first crops speak for, after each of them; the last is the answer.
    """

    crops: tuple[Shown, ...]
    negatives: tuple[Shown, ...]
    drawn: Concept | None
    common: tuple[Concept | None, ...]
    reply: str

    @property
    def answer(self) -> Concept | None:
        """What all crops speak for."""
        return self.common[-1]


@dataclass(frozen=True)
class JudgeQuestion:
    """A name, with an explanation or none, and pictures: whole ones, or marked ones in which the mark is judged.

    `where`: the cells of each picture that the name is true of, bool [pictures, 12, 12].
    """

    name: str
    explanation: str
    shown: tuple[Shown, ...]
    answers: tuple[bool, ...]
    kind: str
    where: np.ndarray

    @property
    def reply(self) -> str:
        """What is answered."""
        return judge_reply(self.answers)


@dataclass(frozen=True)
class ApartQuestion:
    """Cells of a feature and of others that share its `name`, and what is answered (see `labeling/labelers/apart.py`).

    `same`: the numbers of those that respond to the same, from 1. `difference`: what only the feature has, if there is
    such a thing; `renamed`: a name that says it.
    """

    own: tuple[Shown, ...]
    others: tuple[tuple[Shown, ...], ...]
    name: str
    same: tuple[int, ...]
    difference: str
    renamed: str

    @property
    def reply(self) -> str:
        """What is answered. What is at each place is left out: that would be most of a reply."""
        return json.dumps({"same": list(self.same), "difference": self.difference, "name": self.renamed})


def part_phrase(pool: Pool, picture: int, cell: Cell) -> str:
    """What is at a cell, in a few words."""
    here = {name: int(values[(picture, *cell)]) for name, values in pool.cells.items()}
    if here["part"] < 0:
        return f"{ATTRIBUTES['background'][here['background']]} background"
    thing = " ".join(ATTRIBUTES[name][here[name]] for name in OBJECT_WORDS)
    return thing if ATTRIBUTES["part"][here["part"]] == "inside" else f"edge of a {thing}"


def spoken_for(pool: Pool, crops: Sequence[Shown]) -> tuple[tuple[Concept | None, ...], float, float]:
    """The concepts that the first 1, 2, ... marked cells speak for (None: none), the last's share and how sure it is.

    The narrowest that holds for nearly all of them, as in the definition of a feature's truth (`feature_truths`): of
    those that do, the one with the largest share over its base rate, and of equal ones the one of fewer words. How
    sure: the share, if one more cell were seen that is like any cell of the world.
    """
    picture, row, col = np.array([(s.picture, *s.cell) for s in crops if s.cell]).T
    seen = np.arange(1, len(picture) + 1)
    by_words = np.argsort([len(concept.words) for concept in pool.concepts], kind="stable")
    hold = pool.masks[:, picture, row, col][by_words].cumsum(1)
    base = np.maximum(pool.base_rates[by_words], 1e-4)[:, None]
    sure = (hold + base) / (seen + 1)
    lift = np.where(sure >= NEARLY_ALL, np.round(sure / base, 9), 0.0)
    best = lift.argmax(0)
    spoken = [pool.concepts[by_words[i]] if lift[i, n] else None for n, i in enumerate(best)]
    if spoken[-1] is None:
        return tuple(spoken), 0.0, float(1 - sure[:, -1].max())
    return tuple(spoken), float(hold[best[-1], -1] / seen[-1]), float(sure[best[-1], -1])


_KINDS = ("single", "pair", "triple", "part", "background", "object", "nothing")
_KIND_SHARES = (0.22, 0.31, 0.07, 0.22, 0.08, 0.03, 0.07)
_KIND_OF = {"background": "background", "part": "part", "object": "object", "pair": "pair"}


class Questions:
    """Draws questions from a pool; only `markable` cells, bool [n, 12, 12], are marked (None: any)."""

    def __init__(self, pool: Pool, markable: np.ndarray | None = None) -> None:
        self.pool = pool
        self._markable = np.ones_like(pool.cells["part"], bool) if markable is None else markable
        self._of_kind: dict[str, list[int]] = {kind: [] for kind in _KINDS}
        for i, concept in enumerate(pool.concepts):
            self._of_kind[_KIND_OF.get(concept.kind, "single")].append(i)

    def label(
        self, rng: np.random.Generator, crops: int = 10, negatives: int = 3, about: str = ""
    ) -> LabelQuestion | None:
        """Draw crops of a simulated feature, strongest first, and pictures in which it does not fire.

        `about` names the concept that it is to fire on; None if too few pictures show that.
        """
        while True:
            if about:
                drawn, mask = self._concept(self._row(about))
            else:
                drawn, mask = self._drawn(str(rng.choice(_KINDS, p=_KIND_SHARES)), rng)
            if mask is None:
                shown = self._mixture(crops, rng)
                silent = np.arange(len(self.pool))
            else:
                may = mask & self._markable
                firing = np.flatnonzero(may.any((1, 2)))
                if len(firing) < crops:
                    if about:
                        return None
                    continue
                shown = self._firing(may, firing, crops, rng)
                silent = np.flatnonzero(~mask.any((1, 2)))
            if rng.random() < 0.1 or len(silent) < negatives:
                silent = np.arange(len(self.pool))
            without = tuple(Shown(int(i)) for i in rng.choice(silent, negatives, replace=False))
            common, share, confidence = spoken_for(self.pool, shown)
            parts = [part_phrase(self.pool, s.picture, s.cell) for s in shown if s.cell]
            return LabelQuestion(shown, without, drawn, common, label_reply(common[-1], share, confidence, parts))

    def _row(self, name: str) -> int:
        return next(i for i, concept in enumerate(self.pool.concepts) if concept.name == name)

    def _drawn(self, kind: str, rng: np.random.Generator) -> tuple[Concept | None, np.ndarray | None]:
        if kind == "nothing":
            return None, None
        if kind == "triple":
            words = self._object_words(3, rng)
            pairs = [i for i in self._of_kind["pair"] if set(self.pool.concepts[i].words) <= set(words)]
            narrowest = min(pairs, key=lambda i: self.pool.base_rates[i])
            return self.pool.concepts[narrowest], self.words_mask(words)
        return self._concept(int(rng.choice(self._of_kind[kind])))

    def _concept(self, row: int) -> tuple[Concept | None, np.ndarray | None]:
        return self.pool.concepts[row], self.pool.masks[row]

    def words_mask(self, words: Sequence[str]) -> np.ndarray:
        """Where all of these words hold, bool [n, 12, 12]."""
        mask = np.ones_like(self.pool.cells["part"], bool)
        for word in words:
            if word in POSITIONS:
                region = np.zeros((GRID, GRID), bool)
                region[REGIONS[word]] = True
                mask &= region
            else:
                name = next(name for name in ATTRIBUTES if word in ATTRIBUTES[name])
                mask &= self.pool.cells[name] == ATTRIBUTES[name].index(word)
        return mask

    def _object_words(self, count: int, rng: np.random.Generator) -> tuple[str, ...]:
        """Words of one object of the pool, in the order of a caption."""
        while True:
            picture = int(rng.integers(len(self.pool)))
            on = np.argwhere(self.pool.cells["part"][picture] == ATTRIBUTES["part"].index("inside"))
            if len(on) >= LEAST_CELLS:
                break
        cell = tuple(on[rng.integers(len(on))])
        words = [ATTRIBUTES[name][int(self.pool.cells[name][(picture, *cell)])] for name in OBJECT_WORDS]
        places = [place for place, (rows, cols) in REGIONS.items() if _within(cell[0], rows) and _within(cell[1], cols)]
        words.append(str(rng.choice(places)))
        return tuple(words[i] for i in sorted(rng.permutation(len(words))[:count]))

    def _firing(self, mask: np.ndarray, firing: np.ndarray, count: int, rng: np.random.Generator) -> tuple[Shown, ...]:
        pictures = rng.choice(firing, count, replace=False)
        stray = 0.0 if rng.random() < 0.45 else rng.uniform(0, 0.35)
        taste = str(rng.choice(["any", "edge", "inside", "side"], p=[0.4, 0.15, 0.2, 0.25]))
        angle = rng.uniform(0, 2 * np.pi)
        shown = []
        for rank, picture in enumerate(pictures):
            if rng.random() < stray * 2 * (rank + 0.5) / count:
                shown.append(self._anywhere(rng))
                continue
            cells = np.argwhere(mask[picture])
            if taste in ATTRIBUTES["part"]:
                parts = self.pool.cells["part"][picture][tuple(cells.T)]
                wanted = cells[parts == ATTRIBUTES["part"].index(taste)]
                cells = wanted if len(wanted) else cells
            if taste == "side":
                chosen = int((cells @ [np.sin(angle), np.cos(angle)]).argmax())
            else:
                chosen = int(rng.integers(len(cells)))
            shown.append(Shown(int(picture), (int(cells[chosen][0]), int(cells[chosen][1]))))
        return tuple(shown)

    def _anywhere(self, rng: np.random.Generator) -> Shown:
        picture = int(rng.integers(len(self.pool)))
        cells = np.argwhere(self._markable[picture])
        on = cells[self.pool.cells["part"][picture][tuple(cells.T)] >= 0]
        cells = on if len(on) and rng.random() < 0.7 else cells
        row, col = cells[rng.integers(len(cells))]
        return Shown(picture, (int(row), int(col)))

    def _mixture(self, count: int, rng: np.random.Generator) -> tuple[Shown, ...]:
        """Crops with nothing in common: any cells, or the crops of two or three concepts mixed."""
        if rng.random() < 0.5:
            return tuple(self._anywhere(rng) for _ in range(count))
        masks = [self._drawn("pair" if rng.random() < 0.5 else "single", rng)[1] for _ in range(rng.integers(2, 4))]
        found = [may for mask in masks if mask is not None and (may := mask & self._markable).any()]
        if len(found) < 2:
            return tuple(self._anywhere(rng) for _ in range(count))
        return tuple(self._firing_once(found[i % len(found)], rng) for i in rng.permutation(count))

    def _firing_once(self, mask: np.ndarray, rng: np.random.Generator) -> Shown:
        picture, row, col = np.argwhere(mask)[rng.integers(int(mask.sum()))]
        return Shown(int(picture), (int(row), int(col)))

    def judge(
        self, rng: np.random.Generator, count: int = 8, marked: bool = False, about: str = ""
    ) -> JudgeQuestion | None:
        """Draw a name and pictures, each as likely to fit as not; half of those that do not nearly do.

        `about` names the concept that is asked about; None if too few pictures show it.
        """
        kinds, shares = ("single", "pair", "words", "background", "foreign"), (0.3, 0.45, 0.13, 0.08, 0.04)
        while True:
            kind = "about" if about else str(rng.choice(kinds, p=shares))
            if kind == "foreign":
                name, told = foreign_phrase(rng).text, ""
                shown = tuple(self._anywhere(rng) for _ in range(count))
                shown = shown if marked else tuple(Shown(s.picture) for s in shown)
                nowhere = np.zeros((count, GRID, GRID), bool)
                return JudgeQuestion(name, told, shown, (False,) * count, kind, nowhere)
            if kind == "words":
                words: tuple[str, ...] = self._object_words(int(rng.integers(3, 5)), rng)
                concept = None
            else:
                concept = self.pool.concepts[self._row(about) if about else int(rng.choice(self._of_kind[kind]))]
                words = concept.words
            mask = self.words_mask(words)
            if len(words) == 1 and words[0] in POSITIONS:
                mask &= self.pool.cells["part"] >= 0
            near = np.logical_or.reduce([self.words_mask([word]).any((1, 2)) for word in words])
            answers = tuple(bool(a) for a in rng.random(count) < 0.5)
            shown = self._marks(mask, answers, rng) if marked else self._wholes(mask, near, answers, rng)
            if shown:
                name, drawn = said(words, rng), rng.random()
                told = explanation(concept, rng.uniform(0.6, 1.0)) if concept and drawn < 0.45 else ""
                told = told_by_others(name, rng) if drawn > 0.7 else told
                return JudgeQuestion(name, told, shown, answers, kind, mask[[s.picture for s in shown]])
            if about:
                return None

    def _wholes(
        self, mask: np.ndarray, near: np.ndarray, answers: Sequence[bool], rng: np.random.Generator
    ) -> tuple[Shown, ...]:
        cells = mask.sum((1, 2))
        fits, fails = np.flatnonzero(cells >= LEAST_CELLS), np.flatnonzero(cells == 0)
        nearly = np.flatnonzero((cells == 0) & near)
        if len(fits) < len(answers) or len(fails) < len(answers):
            return ()
        pools = [fits if a else nearly if len(nearly) and rng.random() < 0.5 else fails for a in answers]
        return tuple(Shown(int(rng.choice(pool))) for pool in pools)

    def _marks(self, mask: np.ndarray, answers: Sequence[bool], rng: np.random.Generator) -> tuple[Shown, ...]:
        pictures = np.flatnonzero((mask & self._markable).any((1, 2)))
        if len(pictures) < len(answers):
            return ()
        shown = []
        for answer in answers:
            if answer or rng.random() < 0.5:
                # A mark in the wrong place of a picture that fires.
                picture = int(rng.choice(pictures))
                cells = np.argwhere((mask[picture] == answer) & self._markable[picture]).tolist()
                if cells:
                    row, col = cells[rng.integers(len(cells))]
                    shown.append(Shown(picture, (row, col)))
            else:
                tries = (self._anywhere(rng) for _ in range(20))
                shown += [s for s in tries if not self._holds(mask, s)][:1]
        return tuple(shown) if len(shown) == len(answers) else ()

    def _holds(self, mask: np.ndarray, shown: Shown) -> bool:
        return shown.cell is not None and bool(mask[shown.picture, shown.cell[0], shown.cell[1]])


def said(words: Sequence[str], rng: np.random.Generator) -> str:
    """A name of these words as some labeler would put it: with synonyms, plurals, and words around them."""
    places = [word for word in words if word in POSITIONS]
    things = [word for word in words if word not in POSITIONS]
    shape = bool(things) and things[-1] in ATTRIBUTES["shape"]
    if things and things[-1] in ATTRIBUTES["background"] and rng.random() < 0.7:
        things = [*things, "background"]
    elif things and not shape and rng.random() < 0.3:
        things = [*things, str(rng.choice(["object", "objects", "shape"]))]
    things = [_synonym(word, rng) if rng.random() < 0.15 else word for word in things]
    if things and rng.random() < 0.1:
        things = [str(rng.choice(["a", "edge of a", "inside of a"])), *things]
    if places and rng.random() < 0.3:
        places = [str(rng.choice([f"at the {places[0]}", f"in the {places[0]}", f"{places[0]} corner"]))]
    if places and things and rng.random() < 0.15:
        return f"{' '.join(things)}, {places[0]}"
    return " ".join([*places, *things] if rng.random() < 0.1 else [*things, *places])


def told_by_others(name: str, rng: np.random.Generator) -> str:
    """An explanation as another labeler or a person would give it: with numbers and words that the world does not know.

    What is judged is the name; without these the model takes a label for foreign by its explanation alone.
    """
    if rng.random() < 0.5:
        # As the labeler `clip` does.
        share, base, percentile = rng.uniform(0.5, 1), rng.uniform(0, 0.6), rng.uniform(0.5, 1)
        crops, other = rng.integers(3, 30), rng.choice([*SYNONYMS, foreign_phrase(rng).text])
        how = f"mean similarity percentile {percentile:.2f} over {crops} crops; next: '{other}'"
        return f"Fires on {name}: holds for {share:.0%} against {base:.1%} usually ({how})."
    around = [" ".join(foreign_phrase(rng).text for _ in range(rng.integers(1, 4))) for _ in range(2)]
    return f"{around[0].capitalize()} {name} {around[1]}."


def _synonym(word: str, rng: np.random.Generator) -> str:
    return str(rng.choice(SYNONYMS.get(word, (word,))))


def _within(value: int, of: slice) -> bool:
    return of.start <= value < of.stop
