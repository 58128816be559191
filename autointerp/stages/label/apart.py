"""The pass after naming: features of nearly the same name are told apart, as far as a VLM sees a difference.

A feature whose answer says something becomes a new label of the same labeler. Its explanation says the difference, and
its name changes only where all that is new in it holds on held-out cells. What was answered is not asked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Label
from autointerp.errors import PartialFailure
from autointerp.labeling.judging.gain import Gain
from autointerp.labeling.labelers.apart import Difference, NamedAlike, Teller
from autointerp.labeling.labelers.new_words import hold, new_clauses
from autointerp.labeling.protocol import Judge
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.schedule import part_of
from autointerp.stages.index.namesakes import label_namesakes
from autointerp.texts import EXPLANATION, clean

_AT_ONCE = 16
"""Features whose pictures, and those of their namesakes, are in memory at a time."""


@dataclass(frozen=True)
class ApartTask:
    """A label to tell apart.

    Attributes:
        label: The label.
        namesakes: The labels of nearly the same name, nearest first.
    """

    label: Label
    namesakes: tuple[Label, ...]


def apart_tasks(ctx: Context, dictionary: DictionaryRow, label_ids: Sequence[int]) -> list[ApartTask]:
    """Return labels, given by their ids, with the labels of the same labeler that have nearly the same name."""
    with ctx.db.session() as session:
        labels = queries.labels.by_ids(session, label_ids)
        session.expunge_all()
    near = label_namesakes(ctx, dictionary, {label.labeler_id for label in labels.values()})
    return [ApartTask(labels[one], near.get(one, ())) for one in label_ids]


def note_single(ctx: Context, tasks: Sequence[ApartTask]) -> None:
    """Note of labels without a namesake that there is nothing to tell them from, so that no plan counts them again."""
    with ctx.db.session() as session:
        for task in tasks:
            if not task.namesakes:
                queries.labels.note_told_apart(session, task.label.id, [], [])


def run_apart(ctx: Context, dictionary: DictionaryRow, teller: Teller, judge: Judge, tasks: Sequence[ApartTask]) -> int:
    """Tell labels apart, and store each answer as soon as it is known; return how many got a difference.

    Args:
        ctx: The command's view of the workspace.
        dictionary: The dictionary of the features.
        teller: Says what tells features apart.
        judge: Answers whether the words that a name would gain hold, on held-out cells.
        tasks: The labels.

    Raises:
        PartialFailure: Some requests failed, or a budget ended the work; finished work is kept.
    """
    if not tasks:
        return 0
    run = _ApartRun(ctx, dictionary, teller, judge)
    with (
        part_of(ctx.progress, "apart"),
        ctx.progress.task(f"tell {dictionary.name} apart", len(tasks), unit="feature") as bar,
    ):
        for name in run.tell(tasks):
            bar.advance(1, name[:40])
    if teller.stopped:
        raise PartialFailure(f"{run.told} features told apart: {teller.stopped}", "run it again to go on")
    if run.failures:
        raise PartialFailure(
            f"{len(run.failures)} of {len(tasks)} features could not be told apart: {run.failures[0]}",
            "run it again with --retry-failed",
        )
    return run.told


class _ApartRun:
    """The pass at work.

    Attributes:
        told: How many features got a difference.
        failures: Why requests failed.
    """

    def __init__(self, ctx: Context, dictionary: DictionaryRow, teller: Teller, judge: Judge) -> None:
        self.told, self.failures = 0, list[str]()
        self._db, self._seed, self._teller, self._judge = ctx.db, ctx.settings.seed, teller, judge
        self._reader = EvidenceReader(ctx.db, dictionary)

    def tell(self, tasks: Sequence[ApartTask]) -> Iterator[str]:
        """Yield the name of each label whose answer is stored."""
        by_feature = {task.label.feature_id: task for task in tasks}
        for found in self._teller.tell(self._groups(tasks)):
            task = by_feature[found.feature_id]
            if found.status == "failed":
                self.failures.append(found.error)
            elif found.status != "waiting" and (name := self._name_of(task, found)) is not None:
                self._store(task, found, name)
                yield name

    def _groups(self, tasks: Sequence[ApartTask]) -> Iterator[NamedAlike]:
        """Yield what is shown of each label; the pictures of few labels are in memory at a time."""
        for start in range(0, len(tasks), _AT_ONCE):
            some = tasks[start : start + _AT_ONCE]
            wanted = {one.feature_id for task in some for one in (task.label, *task.namesakes)}
            with self._db.session() as session:
                rows = [one.feature for one in queries.features.with_dictionaries(session, wanted).values()]
                session.expunge_all()
            shown = {one.feature_id: one for one in self._reader.features(rows, self._teller.cells)}
            for task in some:
                others = tuple(shown[one.feature_id] for one in task.namesakes)
                yield NamedAlike(task.label.name, shown[task.label.feature_id], others)

    def _name_of(self, task: ApartTask, found: Difference) -> str | None:
        """Return the name after the answer: the new one where what it gains holds. None while requests wait."""
        before = task.label.name
        if found.status != "told" or not found.name or found.name.casefold() == before.casefold():
            return before
        feature_id = task.label.feature_id
        with self._db.session() as session:
            latents = queries.features.latent_indexes(session, [feature_id])
        evidence = self._reader.for_scores(latents, Gain.needs, self._seed)[feature_id]
        rng = np.random.default_rng((self._seed, latents[feature_id], 5))
        held = hold(new_clauses(found.name, before), self._judge, evidence, rng)
        return None if held is None else found.name if held else before

    def _store(self, task: ApartTask, found: Difference, name: str) -> None:
        """Store the answer: as a new label where it says something, else as a note that the label was asked about."""
        label = task.label
        with self._db.session() as session:
            others = [one.feature_id for one in task.namesakes]
            latents = queries.features.latent_indexes(session, others)
            apart, same = ([latents[others[at]] for at in places] for places in (found.apart_from, found.same_as))
            if found.status == "same":
                queries.labels.note_told_apart(session, label.id, apart, same)
                return
            self.told += 1
            said = f"{label.explanation} Only this feature, of those of that name: {found.text}."
            queries.labels.store(
                session,
                Label(
                    feature_id=label.feature_id,
                    labeler_id=label.labeler_id,
                    status="ok",
                    name=name,
                    explanation=clean(said, EXPLANATION),
                    confidence=label.confidence,
                    told_apart_from=apart,
                    same_as=same,
                    difference=found.text,
                    name_before="" if name == label.name else label.name,
                ),
            )
