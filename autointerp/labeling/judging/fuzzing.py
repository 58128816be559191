"""The score `fuzzing`: is the marked place where the label says? As in EleutherAI's delphi.

Half of the marks are right. Of the others, half lie in an image of the feature where the feature does not fire, and
half mark another feature in an image in which this one is silent.
"""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from autointerp.labeling.asking.messages import marked_view
from autointerp.labeling.asking.replies import DETECT_SCHEMA, DetectReply
from autointerp.labeling.judging.detection import TRIALS, read_answers
from autointerp.labeling.judging.marks import displaced
from autointerp.labeling.judging.methods import LEAST_TRUE, Method, draw
from autointerp.labeling.judging.questions import TrialQuestion
from autointerp.labeling.protocol import ScoreEvidence, Trial

FUZZING = TrialQuestion("fuzzing", "fuzz.md.j2", marked_view, DETECT_SCHEMA, DetectReply, read_answers, TRIALS)


class Fuzzing(Method):
    """Shows marked images. Half of the marks are where the feature fires."""

    name = "fuzzing"
    question = FUZZING
    needs = frozenset({"firing", "foreign"})

    @override
    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Return as many right marks as wrong ones."""
        order = rng.permutation(len(evidence.firing))
        firing = [evidence.firing[i] for i in order if evidence.firing[i].grid != (1, 1)]
        count = min(len(firing), TRIALS // 2)
        # Take displaced marks from the end of the list and right marks from its start, so that an image is shown
        # twice only where there are too few.
        moved = [m for crop in firing[::-1][:count] if (m := displaced(crop, rng)) is not None]
        foreign = draw(rng, evidence.foreign, min(len(evidence.foreign), max(count // 2, count - len(moved))))
        moved = moved[: count - len(foreign)]
        count = len(moved) + len(foreign)
        if count < LEAST_TRUE:
            return []
        shown = [(c, True, "firing") for c in firing[:count]]
        shown += [(c, False, "displaced") for c in moved] + [(c, False, "foreign") for c in foreign]
        return [Trial(name, explanation, *shown[i]) for i in rng.permutation(len(shown))]
