"""The scores that a method has still to make: labels by their own words, and the shuffled control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Label, LabelStatus
from autointerp.db.queries.scores import ScoreSlot
from autointerp.labeling.judging import SCORES, score_method
from autointerp.labeling.judging.methods import Limits, Method
from autointerp.labeling.protocol import Judge
from autointerp.project.context import Context
from autointerp.project.labelers import labeler_key

CONTROLS = 50
"""Labels that a method scores with another label's words too, where there are as many."""
_UNKNOWN_JUDGE = 0
"""The id of a judge that is not stored yet. No score has it, so no label is scored by that judge."""


def check_methods(methods: tuple[str, ...]) -> tuple[str, ...]:
    """Return the methods, each once.

    Raises:
        UsageError: A method does not exist.
    """
    return tuple(dict.fromkeys(SCORES.check(method).name for method in methods))


def chosen_method(ctx: Context, name: str) -> Method:
    """Return the score of that name, with the limits that the settings give it.

    Raises:
        UsageError: There is no such score.
    """
    wanted = ctx.settings.gain
    return score_method(name).within(Limits(wanted.questions, wanted.cells))


@dataclass(frozen=True)
class ScoreTask:
    """One score to make.

    Attributes:
        label: The label that is scored.
        words: The label whose words are judged: `label` itself, or another one for the shuffled control.
    """

    label: Label
    words: Label

    @property
    def shuffled(self) -> bool:
        """Whether the score is a control."""
        return self.words.id != self.label.id


@dataclass(frozen=True)
class Scoring:
    """The work of one method.

    Attributes:
        method: The method.
        judge: The judge that answers; None where the embedder or the model does.
        own: Labels to score by their own words.
        shuffled: The scores of the control.
    """

    method: Method
    judge: Judge | None
    own: tuple[Label, ...]
    shuffled: tuple[ScoreTask, ...]

    @property
    def tasks(self) -> list[ScoreTask]:
        """All scores to make, the control last."""
        return [ScoreTask(label, label) for label in self.own] + list(self.shuffled)

    @property
    def names(self) -> int:
        """Number of different names that are judged."""
        return len({task.words.name for task in self.tasks})


def plan_scoring(
    ctx: Context,
    dictionary: DictionaryRow,
    method: Method,
    judge: Judge | None = None,
    labeler_id: int | None = None,
    controls: bool = True,
    retry: bool = False,
) -> Scoring:
    """Return the scores that are missing; nothing is written.

    Args:
        ctx: The command's view of the workspace.
        dictionary: The dictionary whose labels are scored.
        method: The method.
        judge: The judge, where the method needs one.
        labeler_id: Only labels of this labeler; None for all.
        controls: Whether the shuffled control is made too.
        retry: Whether scores without any readable answer are made again.
    """
    statuses: tuple[LabelStatus, ...] = ("ok",) if method.of_label else ("ok", "uninterpretable")
    # The judges that test the scores read no words, so other words would change nothing.
    is_controlled = controls and method.of_label and (judge is None or judge.kind != "control")
    with ctx.db.session() as session:
        judge_id = None if judge is None else queries.labelers.find(session, labeler_key(judge)) or _UNKNOWN_JUDGE

        def missing(name: str, shuffled: bool = False) -> list[Label]:
            slot = ScoreSlot(name, judge_id, shuffled)
            found = queries.labels.without_score(session, dictionary.id, slot, labeler_id, statuses, retry)
            session.expunge_all()
            return found

        own = missing(method.name)
        # No method has the empty name, so no label has a score of it.
        every = missing("") if is_controlled else []
        uncontrolled = missing(method.name, shuffled=True) if is_controlled else []
    return Scoring(method, judge, tuple(own), tuple(_draw_controls(every, uncontrolled, ctx.settings.seed)))


def _draw_controls(every: Sequence[Label], uncontrolled: Sequence[Label], seed: int) -> list[ScoreTask]:
    """Pair labels that have no control yet with the words of others, up to `CONTROLS` pairs in all.

    All labels are put into one random order. A label is judged by the words of the next label in that order that has
    another name. The order depends on the seed alone, so an interrupted control goes on with the same pairs.
    """
    left = min(CONTROLS, len(every)) - (len(every) - len(uncontrolled))
    order = [every[i] for i in np.random.default_rng(seed).permutation(len(every))]
    places = {label.id: place for place, label in enumerate(order)}
    tasks: list[ScoreTask] = []
    for label in sorted(uncontrolled, key=lambda one: places[one.id]):
        if len(tasks) >= left:
            break
        after = (order[(places[label.id] + step) % len(order)] for step in range(1, len(order)))
        words = next((other for other in after if other.name.casefold() != label.name.casefold()), None)
        if words is not None:
            tasks.append(ScoreTask(label, words))
    return tasks
