"""The trials behind one score: what was shown, what was asked, and what was answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from autointerp.db import queries
from autointerp.db.models import Judgement, Label, Score
from autointerp.db.queries.catalog import CellPicture, CropLine
from autointerp.errors import UsageError
from autointerp.export.gallery import visible
from autointerp.labeling.judging import SCORES
from autointerp.project.context import Context
from autointerp.project.labeler_names import labeler_names

KINDS = {
    "active": "active cell",
    "base": "random cell of the layer",
    "namesake": "active cell of a feature of the same name",
    "firing": "the feature fires here",
    "random": "the feature is silent here",
    "hard": "a feature of like direction fires here",
    "displaced": "the mark is moved",
    "foreign": "marked where another feature fires",
    "intruder": "the intruder",
    "generated": "painted from the name",
    "unrelated": "painted from another prompt",
}
"""What each kind of trial shows, in words."""


@dataclass(frozen=True)
class ShownTrial:
    """One trial.

    Attributes:
        number: Its number within the score, from 0.
        kind: What was shown, see `KINDS`.
        panel: Trials of one panel were shown together; None for a trial on its own.
        truth: Whether the label should hold: the feature fires there.
        holds: The judge's answer; None where it could not be read, or a number was measured instead.
        value: The similarity, activation or rating, where it is a number.
        error: Why the answer could not be read.
        prompt: The prompt of the picture.
        image: Id of the picture; None where it is not stored.
        size: Its (width, height) in pixels.
        box: What was shown of it, in its pixels.
        crop: Id of the crop; None for a random cell and a generated picture.
    """

    number: int
    kind: str
    panel: int | None
    truth: bool
    holds: bool | None
    value: float | None
    error: str
    prompt: str
    image: int | None
    size: tuple[int, int]
    box: tuple[int, int, int, int]
    crop: int | None

    @property
    def is_right(self) -> bool | None:
        """Whether the answer is the truth; None where there is no answer."""
        return None if self.holds is None else self.holds == self.truth

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `trials`."""
        texts = {"prompt": visible(self.prompt), "error": visible(self.error)}
        return {**asdict(self), **texts, "size": list(self.size), "box": list(self.box), "right": self.is_right}


@dataclass(frozen=True)
class ScoreTrials:
    """A score with its trials.

    Attributes:
        score: Id of the score.
        method: Its method.
        question: What was asked, in words.
        name: The name that was judged.
        judge: Name of the judge; empty for methods without one.
        value: The score.
        trials: The trials in their order.
    """

    score: int
    method: str
    question: str
    name: str
    judge: str
    value: float | None
    trials: tuple[ShownTrial, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the answer of `/api/trials`."""
        return {**asdict(self), "name": visible(self.name), "trials": [trial.as_dict() for trial in self.trials]}


def read_trials(ctx: Context, score_id: int) -> ScoreTrials:
    """Read the trials of a score.

    Raises:
        UsageError: There is no such score.
    """
    with ctx.db.session() as session:
        score = session.get(Score, score_id)
        label = None if score is None else session.get(Label, score.label_id)
        if score is None or label is None:
            raise UsageError(f"there is no score {score_id}", "open it from the page of its feature")
        dictionary_id = next(
            iter(queries.features.with_dictionaries(session, [label.feature_id]).values())
        ).dictionary.id
        judgements = queries.catalog.trials(session, score_id)
        crops = queries.catalog.crops_by_id(session, [j.crop_id for j in judgements if j.crop_id is not None])
        asked = [j.shown["prompt"] for j in judgements if j.crop_id is None and "prompt" in j.shown]
        cells = queries.catalog.cell_pictures(session, dictionary_id, asked)
        judge = ""
        if score.judge_id is not None:
            judge = labeler_names(queries.labelers.by_ids(session, [score.judge_id]))[score.judge_id]
        known = SCORES.get(score.method)
        return ScoreTrials(
            score=score_id,
            method=score.method,
            question="" if known is None else known.help,
            name=label.name,
            judge=judge,
            value=score.value,
            trials=tuple(_trial(one, crops, cells) for one in judgements),
        )


def _trial(
    one: Judgement, crops: Mapping[int, CropLine], cells: Mapping[tuple[str, int, int], CellPicture]
) -> ShownTrial:
    """Return a trial with its picture, where that is stored."""
    crop = None if one.crop_id is None else crops.get(one.crop_id)
    shown = one.shown
    image, size, box, prompt = None, (1, 1), (0, 0, 1, 1), str(shown.get("prompt", ""))
    if crop is not None:
        image, size, prompt = crop.image_id, (crop.width, crop.height), crop.prompt
        box = tuple(shown["box"]) if "box" in shown else crop.box
    elif "cell" in shown and (found := cells.get((prompt, *shown["cell"]))) is not None:
        image, size = found.image_id, (found.width, found.height)
        box = tuple(shown["box"]) if "box" in shown else (0, 0, *size)
    return ShownTrial(
        number=one.trial,
        kind=KINDS.get(one.kind, one.kind),
        panel=one.panel,
        truth=one.truth,
        holds=one.holds,
        value=None if one.value is None else round(one.value, 4),
        error=one.error,
        prompt=prompt,
        image=image,
        size=size,
        box=(box[0], box[1], box[2], box[3]),
        crop=None if crop is None else crop.id,
    )
