"""The scores: what each shows a judge of a feature and its label, and how verdicts become its value.

A method is one class and one line in `METHODS`. What it may show is in `ScoreEvidence`; who answers, in `answered_by`:
a judge, the embedder of the workspace, or the model that is explained. Each has a chance level of 0.5: a judge that
knows the truth gets 1.0, a coin 0.5, and one that always says yes 0.5. Detection, fuzzing and intruder are as in
EleutherAI's delphi, the generative score as FADE's clarity with its sign, `shabalin` as in arXiv 2505.24360.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from autointerp.crops.geometry import crop_box
from autointerp.labeling.phrases import clauses
from autointerp.labeling.protocol import CropEvidence, ScoreEvidence, ScoreResult, Trial, Verdict
from autointerp.labeling.questions import DETECTION, FUZZING, INTRUDER, RATING, Question
from autointerp.labeling.scores import auroc_score, balanced_score
from autointerp.labeling.windows import REGIONS

_TRIALS = 20
"""Trials of detection and fuzzing: half of them true."""
_LEAST = 2
"""True trials without which there is no score."""
_PANELS, _PANEL = 5, 5
"""Panels of the intruder score, and crops in each, the intruder among them."""
_SEED_PAPER = 5
"""Images of a feature, and of others, that the seed paper's score shows."""
OWN_IMAGES, UNRELATED_IMAGES = 8, 16
"""Images that the generative score generates from a label's words, and takes from unrelated prompts."""
_ON = 0.5
"""Cells from this share of a map's highest activation on are where the feature fires."""


class Method(ABC):
    """A score: what it shows, and what becomes of the answers."""

    name: ClassVar[str]
    chance: ClassVar[float] = 0.5
    answered_by: ClassVar[Literal["judge", "embedder", "model"]] = "judge"
    of_label: ClassVar[bool] = True
    """Whether the label's words are shown; if not, features without a name are scored too."""
    needs: ClassVar[frozenset[str]]
    """The parts of `ScoreEvidence` that trials are made of."""
    question: ClassVar[Question | None] = None
    """How a VLM is asked, where a judge answers."""

    @abstractmethod
    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """The trials, in an order that gives nothing away; none where there is too little to show."""

    def result(self, verdicts: Sequence[Verdict], seed: int) -> ScoreResult:
        """The value with its interval: balanced accuracy, unless a method says otherwise."""
        return balanced_score(verdicts, self.name, seed)


class Embedding(Method):
    """AUROC of the similarity of a label's words with held-out crops on which the feature fires, against others."""

    name = "embedding"
    answered_by = "embedder"
    needs = frozenset({"firing", "silent"})

    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Every held-out crop."""
        shown = [(c, True, "firing") for c in evidence.firing] + [(c, False, "random") for c in evidence.silent]
        return [Trial(name, explanation, *one) for one in shown]

    def result(self, verdicts: Sequence[Verdict], seed: int) -> ScoreResult:
        """AUROC."""
        return auroc_score(verdicts, self.name, seed)


class Detection(Method):
    """Does the label hold for the unmarked image? Of those in which it should not, half are hard."""

    name = "detection"
    question = DETECTION
    needs = frozenset({"firing", "silent", "hard"})

    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """As many images in which the feature fires as others."""
        firing, silent, hard = evidence.firing, evidence.silent, evidence.hard
        count = min(len(firing), len(silent) + len(hard), _TRIALS // 2)
        if count < _LEAST:
            return []
        difficult = min(len(hard), max(count // 2, count - len(silent)))
        shown = [(c, True, "firing") for c in _draw(rng, firing, count)]
        shown += [(c, False, "hard") for c in _draw(rng, hard, difficult)]
        shown += [(c, False, "random") for c in _draw(rng, silent, count - difficult)]
        return [Trial(name, explanation, *shown[i]) for i in rng.permutation(len(shown))]


class Fuzzing(Method):
    """Is the marked place where the label says?

    Half of the marks are right. Of the others, half lie in the right image where the feature does not fire, and half
    where another feature fires in an image in which this one does not.
    """

    name = "fuzzing"
    question = FUZZING
    needs = frozenset({"firing", "foreign"})

    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """As many right marks as wrong ones."""
        order = rng.permutation(len(evidence.firing))
        firing = [evidence.firing[i] for i in order if evidence.firing[i].grid != (1, 1)]
        count = min(len(firing), _TRIALS // 2)
        # The last ones are drawn for right marks only where there are too few, so that images do not come twice.
        moved = [m for crop in firing[::-1][:count] if (m := displaced(crop, rng)) is not None]
        foreign = _draw(rng, evidence.foreign, min(len(evidence.foreign), max(count // 2, count - len(moved))))
        moved = moved[: count - len(foreign)]
        count = len(moved) + len(foreign)
        if count < _LEAST:
            return []
        shown = [(c, True, "firing") for c in firing[:count]]
        shown += [(c, False, "displaced") for c in moved] + [(c, False, "foreign") for c in foreign]
        return [Trial(name, explanation, *shown[i]) for i in rng.permutation(len(shown))]


class Intruder(Method):
    """Which of the marked crops does not belong? It needs no label: it is about the feature alone.

    A trial is a crop of a panel, true where it belongs. One that is picked at random from n is right on 1/n of
    the intruders and on 1 - 1/n of the others: 0.5 on balance, whatever n is.
    """

    name = "intruder"
    question = INTRUDER
    of_label = False
    needs = frozenset({"firing", "foreign"})

    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Panels of crops of the feature with one of another."""
        own = min(_PANEL - 1, len(evidence.firing))
        if own <= _LEAST:
            return []
        trials = []
        for panel, intruder in enumerate(_draw(rng, evidence.foreign, min(_PANELS, len(evidence.foreign)))):
            shown = [(c, True, "firing") for c in _draw(rng, evidence.firing, own)] + [(intruder, False, "intruder")]
            trials += [replace(Trial("", "", *shown[i]), panel=panel) for i in rng.permutation(len(shown))]
        return trials


class Generative(Method):
    """AUROC of the feature's activation in images generated from the label's words, against unrelated prompts.

    Below 0.5 the words suppress the feature.
    """

    name = "generative"
    answered_by = "model"
    needs = frozenset({"unrelated"})

    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Images from the label's words, with the noise of the first unrelated ones, and these.

        Prompts that say a word of the label are not unrelated.
        """
        said = {word for clause in clauses(name) for word in clause}
        apart = [
            (prompt, seed)
            for prompt, seed in evidence.unrelated
            if said.isdisjoint(word for clause in clauses(prompt) for word in clause)
        ][:UNRELATED_IMAGES]
        if len(apart) < UNRELATED_IMAGES // 2:
            return []
        shown = [(True, "generated", name, seed) for _, seed in apart[:OWN_IMAGES]]
        shown += [(False, "unrelated", prompt, seed) for prompt, seed in apart]
        return [
            Trial(name, explanation, None, truth, kind, None, prompt, seed, evidence.latent)
            for truth, kind, prompt, seed in shown
        ]

    def result(self, verdicts: Sequence[Verdict], seed: int) -> ScoreResult:
        """AUROC."""
        if not verdicts:
            return ScoreResult(self.name, None, note="too few prompts that do not say the label's words")
        return auroc_score(verdicts, self.name, seed)


class Shabalin(Method):
    """The seed paper's own score (arXiv 2505.24360), for comparison.

    The five strongest images, which the labeler may have seen, against the strongest of five other features, each under
    its own heat map, rated from 0 to 1: the mean of the ratings of the former and of 1 less those of the latter.
    """

    name = "shabalin"
    question = RATING
    needs = frozenset({"seen", "others"})

    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Five images of the feature and five of others."""
        count = min(_SEED_PAPER, len(evidence.seen), len(evidence.others))
        if count < _LEAST:
            return []
        shown = [(c, True, "firing") for c in evidence.seen[:count]]
        shown += [(c, False, "foreign") for c in evidence.others[:count]]
        return [Trial(name, explanation, *shown[i]) for i in rng.permutation(len(shown))]


METHODS: dict[str, Method] = {
    method.name: method for method in (Embedding(), Detection(), Fuzzing(), Intruder(), Generative(), Shabalin())
}


def text_for_embedding(name: str) -> str:
    """The words of a label's name that a crop can show: without the place, unless nothing else is named."""
    parts = [part.strip() for part in name.split(",")]
    shown = [part for part in parts if part and part not in REGIONS]
    return " ".join(shown) or name


def displaced(crop: CropEvidence, rng: np.random.Generator) -> CropEvidence | None:
    """The crop with its mark at a random cell whose box holds no cell in which the feature fires strongly.

    None where there is no such cell, or the crop has none of its own.
    """
    if crop.cell is None:
        return None
    rows, cols = crop.grid
    heat = crop.activation_map
    if heat is None:
        heat = np.zeros(crop.grid, np.float32)
        heat[crop.cell] = 1
    on = np.argwhere(heat >= _ON * heat.max()) + 0.5
    width, height = crop.picture.size
    x, y = on[:, 1] * width / cols, on[:, 0] * height / rows
    for place in rng.permutation(rows * cols):
        cell = int(place) // cols, int(place) % cols
        box = crop_box(cell, crop.grid, crop.picture.size)
        if not ((x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])).any():
            moved = np.roll(heat, (cell[0] - crop.cell[0], cell[1] - crop.cell[1]), (0, 1))
            return replace(crop, cell=cell, box=box, activation_map=moved)
    return None


def anywhere(crop: CropEvidence, rng: np.random.Generator) -> CropEvidence | None:
    """A picture in which the feature is silent, marked at a random cell; None where there is but one."""
    if crop.grid == (1, 1):
        return None
    cell = int(rng.integers(crop.grid[0])), int(rng.integers(crop.grid[1]))
    return replace(crop, cell=cell, box=crop_box(cell, crop.grid, crop.picture.size))


def _draw(rng: np.random.Generator, crops: Sequence[CropEvidence], count: int) -> list[CropEvidence]:
    return [crops[i] for i in np.sort(rng.permutation(len(crops))[:count])]
