"""Labels that a person gives one at a time: a name, the word that no name fits, and taking either back."""

from __future__ import annotations

from dataclasses import dataclass

from autointerp.db import queries
from autointerp.db.models import Label
from autointerp.errors import UsageError
from autointerp.labeling.labelers.given import GivenLabeler
from autointerp.project.context import Context
from autointerp.project.labelers import labeler_key
from autointerp.project.targets import find_feature
from autointerp.transfer.label_files.storing import HandLabel, name_feature


@dataclass(frozen=True)
class HandWork:
    """What a person did to a feature: the ids of the feature and of the person's label that now counts."""

    feature_id: int
    label_id: int
    is_new: bool


def name_by_hand(ctx: Context, label: HandLabel) -> HandWork:
    """Store the name that a person gives a feature; the same name again stores nothing.

    Raises:
        UsageError: The feature does not exist, or the name cannot be one.
        AutointerpError: Another process writes to the workspace.
    """
    _, feature = find_feature(ctx, label.feature)
    before = _newest(ctx, feature.id)
    name_feature(ctx, label, update_index=False)
    newest = _newest(ctx, feature.id)
    assert newest is not None
    return HandWork(feature.id, newest, newest != before)


def accept_by_hand(ctx: Context, name: str) -> HandWork:
    """Store the name that a feature shows as a person's own.

    Raises:
        UsageError: The feature does not exist, or has no name.
        AutointerpError: Another process writes to the workspace.
    """
    _, feature = find_feature(ctx, name)
    with ctx.db.session() as session:
        best = queries.labels.best_of(session, feature.id)
        if best is None:
            raise UsageError(f"{name} has no name to accept", "give it one")
        label = HandLabel(name, best.label.name, best.label.explanation)
    return name_by_hand(ctx, label)


def reject_by_hand(ctx: Context, name: str) -> HandWork:
    """Store that no name given so far fits a feature. The labels of labelers stay, but do not count.

    Raises:
        UsageError: The feature does not exist.
        AutointerpError: Another process writes to the workspace.
    """
    _, feature = find_feature(ctx, name)
    labeler = GivenLabeler({}, queries.labels.HUMAN)
    with ctx.workspace.lock(), ctx.db.session() as session:
        row = queries.labelers.ensure(session, labeler_key(labeler), labeler.config)
        label = Label(
            feature_id=feature.id,
            labeler_id=row.id,
            status="uninterpretable",
            explanation="A person looked, and no name given so far fits.",
            confidence=1.0,
        )
        queries.labels.store(session, label)
        session.flush()
        return HandWork(feature.id, label.id, True)


def take_back(ctx: Context, label_id: int) -> int:
    """Delete a person's newest label of a feature, so that what counted before counts again; return the feature's id.

    Raises:
        UsageError: The label is gone, is no person's, or the person has said something since.
        AutointerpError: Another process writes to the workspace.
    """
    with ctx.workspace.lock(), ctx.db.session() as session:
        label = queries.labels.by_ids(session, [label_id]).get(label_id)
        people = {row.id for row in queries.labelers.with_labels(session) if row.kind == queries.labels.HUMAN}
        if label is None or label.labeler_id not in people:
            raise UsageError("this label is not there to be taken back", "load the page again")
        if label_id != queries.labels.newest_of_people(session, label.feature_id):
            raise UsageError("the feature was labeled again since", "take the newer label back first")
        session.delete(label)
        return label.feature_id


def _newest(ctx: Context, feature_id: int) -> int | None:
    with ctx.db.session() as session:
        return queries.labels.newest_of_people(session, feature_id)
