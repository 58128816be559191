"""The score `intruder`: which of the marked crops does not belong? As in EleutherAI's delphi.

The score needs no label: it is about the feature alone. A trial is a crop of a panel, true where the crop belongs. A
random choice from n crops is right on 1/n of the intruders and on 1 - 1/n of the others: 0.5 on balance for every n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from typing_extensions import override

from autointerp.labeling.asking.messages import marked_view
from autointerp.labeling.asking.replies import INTRUDER_SCHEMA, IntruderReply
from autointerp.labeling.judging.methods import LEAST_TRUE, Method, draw
from autointerp.labeling.judging.questions import TrialQuestion
from autointerp.labeling.protocol import ScoreEvidence, Trial, Verdict

PANELS, PANEL = 5, 5
"""Panels of a feature, and crops in each, the intruder among them."""


def _read_choice(reply: IntruderReply, trials: Sequence[Trial]) -> list[Verdict]:
    """Return a verdict for each crop of a panel: all but the chosen one belong."""
    if reply.intruder > len(trials):
        raise ValueError(f"image {reply.intruder} of {len(trials)}")
    return [Verdict(trial, number != reply.intruder) for number, trial in enumerate(trials, 1)]


INTRUDER = TrialQuestion(
    "intruder",
    "intruder.md.j2",
    marked_view,
    INTRUDER_SCHEMA,
    IntruderReply,
    _read_choice,
    trials=PANELS * PANEL,
    panel=PANEL,
)


class Intruder(Method):
    """Shows panels of marked crops: one crop of each panel is of another feature."""

    name = "intruder"
    question = INTRUDER
    of_label = False
    needs = frozenset({"firing", "foreign"})

    @override
    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Return panels of crops of the feature with one of another."""
        own = min(PANEL - 1, len(evidence.firing))
        if own <= LEAST_TRUE:
            return []
        trials = []
        for panel, intruder in enumerate(draw(rng, evidence.foreign, min(PANELS, len(evidence.foreign)))):
            shown = [(c, True, "firing") for c in draw(rng, evidence.firing, own)] + [(intruder, False, "intruder")]
            trials += [replace(Trial("", "", *shown[i]), panel=panel) for i in rng.permutation(len(shown))]
        return trials
