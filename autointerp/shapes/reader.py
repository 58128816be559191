"""The judge `reader`, which holds a label's words against the oracle's reading of the picture.

This judge sees the world exactly and knows nothing of the trial. So its score is the most that the label and the trials
allow, and other judges are measured by that score, rather than by 1.0. Of the questions of `apart` it reads the
difference that the label states, too: a cell must have both. A difference for which the world has no words is passed
over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.errors import NotAvailable
from autointerp.labeling.judging.questions import TrialQuestion
from autointerp.labeling.protocol import CropEvidence, Trial, Verdict
from autointerp.shapes.concepts import LEAST_CELLS
from autointerp.shapes.extensions import Atoms
from autointerp.shapes.oracle import Oracle
from autointerp.shapes.scenes import GRID

if TYPE_CHECKING:
    from autointerp.labeling.asking.protocol import Asker
    from autointerp.labeling.setup import LabelerSetup

ANSWERS = ("gain", "detection", "fuzzing", "apart")
"""Purposes of the questions that the oracle's reading answers."""


class ReaderJudge:
    """A judge of trials on pictures of the shapes world: it reads words alone; equal trials get equal answers."""

    kind, model, base_url, prompt_hash = "control", "reader", "", ""
    asker = None
    jobs = together = 1

    def __init__(self, question: TrialQuestion) -> None:
        """Take one of the questions in `ANSWERS`."""
        self.question = question
        self.config: dict[str, Any] = question.config
        self._oracle = Oracle.load()
        self._read: dict[int, Atoms] = {}

    @classmethod
    def make_judge(cls, setup: LabelerSetup, question: TrialQuestion, asker: Asker | None = None) -> ReaderJudge:
        """See `JudgeKind`; the oracle takes the place of a VLM.

        Raises:
            NotAvailable: The model's world has no known truth, or the question is not one of `ANSWERS`.
        """
        del asker
        if setup.world.truth is None or question.purpose not in ANSWERS:
            raise NotAvailable(
                f"reader answers no {question.purpose} questions about {setup.model}",
                f"it reads pictures of shapes, for {' and '.join(ANSWERS)}; name another judge",
            )
        return cls(question)

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Answer all trials; they may be of several labels."""
        crops = [trial.crop for trial in trials if trial.crop is not None]
        if len(crops) != len(trials):
            raise ValueError("there is no picture to read")
        new = {crop.image_id: crop.picture for crop in crops if crop.image_id not in self._read}
        if new:
            read = self._oracle.read(list(new.values()))
            for n, image in enumerate(new):
                self._read[image] = Atoms.of_cells({name: values[n : n + 1] for name, values in read.items()})
        holds = [
            self._holds(self._said(self._read[crop.image_id], trial), crop)
            for trial, crop in zip(trials, crops, strict=True)
        ]
        return [Verdict(trial, held, value=float(held)) for trial, held in zip(trials, holds, strict=True)]

    def _said(self, atoms: Atoms, trial: Trial) -> np.ndarray:
        """Return where in a picture it holds what a label says, bool [rows, cols]."""
        holds = atoms.extension(trial.name).holds[0]
        if self.question.purpose != "apart" or not trial.difference:
            return holds
        only = atoms.extension(trial.difference)
        return holds if only.problem else np.asarray(holds & only.holds[0])

    def _holds(self, mask: np.ndarray, crop: CropEvidence) -> bool:
        if self.question.purpose == "detection":
            return int(mask.sum()) >= LEAST_CELLS
        if crop.cell is None:
            return False
        # The middle of the marked cell, in the oracle's grid, which may differ from that of the crop.
        row, col = ((2 * at + 1) * GRID // (2 * size) for at, size in zip(crop.cell, crop.grid, strict=True))
        return bool(mask[row, col])
