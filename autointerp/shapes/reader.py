"""The judge `reader`: what a label says, held against what the oracle reads in the picture.

It sees the world exactly and is told nothing of the trial. Its score is what the label and the trials allow: a judge
with worse eyes is to be measured by it, not by 1.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autointerp.labeling.protocol import CropEvidence, Trial, Verdict
from autointerp.labeling.questions import Question
from autointerp.shapes.oracle import Oracle
from autointerp.shapes.scenes import GRID
from autointerp.shapes.truth import LEAST_CELLS, name_masks

ANSWERS = ("detection", "fuzzing")
"""The questions that can be answered by reading."""


class ReaderJudge:
    """Answers detection and fuzzing trials about pictures of the shapes world; the same trials always alike."""

    kind, model, base_url, prompt_hash = "control", "reader", "", ""

    def __init__(self, question: Question) -> None:
        """Take one of the questions in `ANSWERS`."""
        self.question = question
        self.config: dict[str, Any] = {"question": question.purpose}
        self._oracle = Oracle.load()
        self._read: dict[int, dict[str, np.ndarray]] = {}

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Answer all trials; they may be of several labels."""
        crops = [trial.crop for trial in trials if trial.crop is not None]
        if len(crops) != len(trials):
            raise ValueError("there is no picture to read")
        new = {crop.image_id: crop.picture for crop in crops if crop.image_id not in self._read}
        if new:
            read = self._oracle.read(list(new.values()))
            for n, image in enumerate(new):
                self._read[image] = {name: values[n : n + 1] for name, values in read.items()}
        holds = [
            self._holds(name_masks(trial.name, self._read[crop.image_id])[0], crop)
            for trial, crop in zip(trials, crops, strict=True)
        ]
        return [Verdict(trial, held, value=float(held)) for trial, held in zip(trials, holds, strict=True)]

    def _holds(self, mask: np.ndarray, crop: CropEvidence) -> bool:
        if self.question.purpose == "detection":
            return int(mask.sum()) >= LEAST_CELLS
        if crop.cell is None:
            return False
        # The middle of the marked cell, in a grid that may be another one.
        row, col = ((2 * at + 1) * GRID // (2 * size) for at, size in zip(crop.cell, crop.grid, strict=True))
        return bool(mask[row, col])
