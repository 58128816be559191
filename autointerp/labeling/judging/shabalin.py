"""The score `shabalin`: the seed paper's own (arXiv 2505.24360), for comparison.

The feature's five strongest images, which the labeler may have seen, stand against the strongest image of each of five
other features. Each image is shown under its own heat map and rated from 0 to 1. The score is the mean of the ratings
of the former and of 1 less the ratings of the latter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from typing_extensions import override

from autointerp.labeling.asking.messages import Mark, marked_view
from autointerp.labeling.asking.replies import RATING_SCHEMA, RatingReply
from autointerp.labeling.judging.methods import LEAST_TRUE, Method
from autointerp.labeling.judging.questions import TrialQuestion, check_count
from autointerp.labeling.protocol import CropEvidence, ScoreEvidence, Trial, Verdict

IMAGES = 5
"""Images of the feature, and of other features."""


def _read_ratings(reply: RatingReply, trials: Sequence[Trial]) -> list[Verdict]:
    """Return a verdict for each rating; from 0.5 on the label holds."""
    check_count(len(reply.ratings), "ratings", trials)
    return [Verdict(trial, value >= 0.5, value=value) for trial, value in zip(trials, reply.ratings, strict=True)]


def _heat(crop: CropEvidence, _mark: Mark) -> list[Image.Image]:
    """Show the seed paper's own mark, whatever the settings say."""
    return marked_view(crop, "heat")


RATING = TrialQuestion(
    "shabalin", "shabalin.md.j2", _heat, RATING_SCHEMA, RatingReply, _read_ratings, trials=2 * IMAGES
)


class Shabalin(Method):
    """Shows the strongest images of this feature and of others, to be rated."""

    name = "shabalin"
    question = RATING
    needs = frozenset({"seen", "others"})

    @override
    def trials(self, name: str, explanation: str, evidence: ScoreEvidence, rng: np.random.Generator) -> list[Trial]:
        """Return five images of the feature and five of others."""
        count = min(IMAGES, len(evidence.seen), len(evidence.others))
        if count < LEAST_TRUE:
            return []
        shown = [(c, True, "firing") for c in evidence.seen[:count]]
        shown += [(c, False, "foreign") for c in evidence.others[:count]]
        return [Trial(name, explanation, *shown[i]) for i in rng.permutation(len(shown))]
