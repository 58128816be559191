"""How a VLM is asked for verdicts: the prompt file, the pictures, the form of the reply, and what the reply says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from autointerp.labeling.messages import Mark, marked_view, whole_picture
from autointerp.labeling.protocol import CropEvidence, Trial, Verdict
from autointerp.labeling.replies import (
    DETECT_SCHEMA,
    INTRUDER_SCHEMA,
    RATING_SCHEMA,
    DetectReply,
    IntruderReply,
    RatingReply,
)

if TYPE_CHECKING:
    from PIL import Image

Views = Callable[[CropEvidence, Mark], "list[Image.Image]"]
"""The pictures that show a crop, in the order in which they are sent; the mark is that of the settings."""


@dataclass(frozen=True)
class Question:
    """One way to ask.

    `trials` is how many a label has at most, and `panel` how many of them are answered by one choice. `read` gives the
    verdicts on the trials of one request; it raises ValueError where the reply does not fit them.
    """

    purpose: str
    prompt: str
    views: Views
    schema: dict[str, Any]
    form: type[BaseModel]
    read: Callable[[Any, Sequence[Trial]], list[Verdict]]
    trials: int
    panel: int = 1

    def requests(self, batch: int) -> int:
        """Requests for one label, at most, with `batch` pictures in one."""
        return ceil(self.trials / (batch if self.panel == 1 else self.panel))

    def batches(self, trials: Sequence[Trial], batch: int) -> list[list[Trial]]:
        """The trials of each request, in order: a panel, or up to `batch` that stand alone."""
        found: list[list[Trial]] = []
        for trial in trials:
            last = found[-1] if found else None
            room = last is not None and last[0].panel == trial.panel
            if room and last is not None and (trial.panel is not None or len(last) < batch):
                last.append(trial)
            else:
                found.append([trial])
        return found


def _answers(reply: DetectReply, trials: Sequence[Trial]) -> list[Verdict]:
    _fits(len(reply.answers), "answers", trials)
    return [Verdict(trial, holds) for trial, holds in zip(trials, reply.answers, strict=True)]


def _choice(reply: IntruderReply, trials: Sequence[Trial]) -> list[Verdict]:
    if reply.intruder > len(trials):
        raise ValueError(f"image {reply.intruder} of {len(trials)}")
    return [Verdict(trial, number != reply.intruder) for number, trial in enumerate(trials, 1)]


def _ratings(reply: RatingReply, trials: Sequence[Trial]) -> list[Verdict]:
    _fits(len(reply.ratings), "ratings", trials)
    return [Verdict(trial, value >= 0.5, value=value) for trial, value in zip(trials, reply.ratings, strict=True)]


def _fits(found: int, what: str, trials: Sequence[Trial]) -> None:
    if found != len(trials):
        raise ValueError(f"{found} {what} for {len(trials)} images")


def _unmarked(crop: CropEvidence, mark: Mark) -> list[Image.Image]:
    return whole_picture(crop)


def _heat(crop: CropEvidence, mark: Mark) -> list[Image.Image]:
    """The seed paper's own mark, whatever the settings say."""
    return marked_view(crop, "heat")


DETECTION = Question("detection", "detect.md.j2", _unmarked, DETECT_SCHEMA, DetectReply, _answers, 20)
FUZZING = Question("fuzzing", "fuzz.md.j2", marked_view, DETECT_SCHEMA, DetectReply, _answers, 20)
INTRUDER = Question("intruder", "intruder.md.j2", marked_view, INTRUDER_SCHEMA, IntruderReply, _choice, 25, panel=5)
RATING = Question("shabalin", "shabalin.md.j2", _heat, RATING_SCHEMA, RatingReply, _ratings, 10)
