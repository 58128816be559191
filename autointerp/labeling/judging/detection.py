"""The score `detection`: does the label hold for the unmarked image? As in EleutherAI's delphi."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from typing_extensions import override

from autointerp.labeling.asking.messages import Mark, whole_picture
from autointerp.labeling.asking.replies import DETECT_SCHEMA, DetectReply
from autointerp.labeling.judging.methods import LEAST_TRUE, Method, draw
from autointerp.labeling.judging.questions import TrialQuestion, check_count
from autointerp.labeling.protocol import CropEvidence, ScoreEvidence, Trial, Verdict

TRIALS = 20
"""Trials of a label at most: half of them true."""


def read_answers(reply: DetectReply, trials: Sequence[Trial]) -> list[Verdict]:
    """Return a verdict for each boolean of the reply."""
    check_count(len(reply.answers), "answers", trials)
    return [Verdict(trial, holds) for trial, holds in zip(trials, reply.answers, strict=True)]


def _unmarked(crop: CropEvidence, _mark: Mark) -> list[Image.Image]:
    """Show the whole picture, whatever the settings say of marks."""
    return whole_picture(crop)


DETECTION = TrialQuestion(
    "detection", "detect.md.j2", _unmarked, DETECT_SCHEMA, DetectReply, read_answers, TRIALS, whole=True
)


class Detection(Method):
    """Shows whole images. Of those for which the label should not hold, half are hard negatives."""

    name = "detection"
    question = DETECTION
    needs = frozenset({"firing", "silent", "hard"})

    @override
    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Return as many images in which the feature fires as others."""
        firing, silent, hard = evidence.firing, evidence.silent, evidence.hard
        count = min(len(firing), len(silent) + len(hard), TRIALS // 2)
        if count < LEAST_TRUE:
            return []
        difficult = min(len(hard), max(count // 2, count - len(silent)))
        shown = [(c, True, "firing") for c in draw(rng, firing, count)]
        shown += [(c, False, "hard") for c in draw(rng, hard, difficult)]
        shown += [(c, False, "random") for c in draw(rng, silent, count - difficult)]
        return [Trial(name, explanation, *shown[i]) for i in rng.permutation(len(shown))]
