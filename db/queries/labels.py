"""Queries of labels: which one counts for a feature, and what is still to be named or scored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import case, delete, exists, or_, select, update
from sqlalchemy.orm import Session, aliased

from autointerp.db.models import Feature, Label, LabelerRow, LabelStatus, Score
from autointerp.db.queries import bulk, features, scores
from autointerp.db.queries.scores import ScoreSlot

HUMAN = "human"
"""Kind of the labelers that are people."""


@dataclass(frozen=True)
class BestLabel:
    """A label of a feature with its labeler, such as the label that is shown for the feature."""

    feature_id: int
    label: Label
    labeler: LabelerRow


def features_without(
    session: Session,
    dictionary_id: int,
    labeler_id: int,
    among: Sequence[int] | None = None,
    retry_failed: bool = False,
) -> list[Feature]:
    """Return the live features that a labeler has no label for, in their fixed order.

    Args:
        session: An open session.
        dictionary_id: The dictionary of the features.
        labeler_id: The labeler.
        among: Ids of the features to choose from; None for all.
        retry_failed: Whether a label that failed is none.
    """
    given = exists().where(Label.feature_id == Feature.id, Label.labeler_id == labeler_id)
    if retry_failed:
        given = given.where(Label.status != "failed")
    query = features.in_order(dictionary_id).where(Feature.state == "live", ~given)
    missing = list(session.scalars(query))
    wanted = None if among is None else set(among)
    return [f for f in missing if wanted is None or f.id in wanted]


def best(
    session: Session,
    dictionary_id: int,
    labelers: Collection[int] | None = None,
    statuses: Sequence[LabelStatus] = ("ok",),
    feature_ids: Iterable[int] | None = None,
) -> dict[int, BestLabel]:
    """Return feature id -> the label that counts, among the current labels of all labelers, or of `labelers` alone.

    A person's label counts before any other. Else the label with the best score counts, if all labels have a score of
    the same method and judge. `uninterpretable` says that no name is better than chance, so its score is chance.
    Without such a score the newest label counts. A failure is no result, so it hides no label. Features whose label is
    of another status than `statuses` are left out.
    """
    said = current(session, dictionary_id, labelers, feature_ids)
    doubtful = [one.label.id for several in said.values() if len(several) > 1 for one in several]
    values = scores.headline_values(session, doubtful)
    best = {feature_id: that_counts(several, values) for feature_id, several in said.items()}
    return {feature_id: found for feature_id, found in best.items() if found.label.status in statuses}


def current(
    session: Session,
    dictionary_id: int,
    labelers: Collection[int] | None = None,
    feature_ids: Iterable[int] | None = None,
) -> dict[int, list[BestLabel]]:
    """Return feature id -> the current label of each labeler (of `labelers` alone): its newest result, else failure."""
    query = (
        select(Label, LabelerRow)
        .join(LabelerRow, LabelerRow.id == Label.labeler_id)
        .join(Feature, Feature.id == Label.feature_id)
        .order_by(case((Label.status == "failed", 0), else_=1), Label.id)
    )
    # Of a few features, a plain condition would lead SQLite through all features of the dictionary.
    of = Feature.dictionary_id if feature_ids is None else Feature.dictionary_id + 0
    query = query.where(of == dictionary_id)
    if labelers is not None:
        query = query.where(Label.labeler_id.in_(labelers))
    pages = [None] if feature_ids is None else bulk.chunks(feature_ids)
    newest: dict[tuple[int, int], BestLabel] = {}
    for page in pages:
        rows = session.execute(query if page is None else query.where(Label.feature_id.in_(page)))
        # Rows come with failures first, then by age, so that the last row of a feature and labeler is current.
        newest.update({(one.feature_id, by.id): BestLabel(one.feature_id, one, by) for one, by in rows})
    found: dict[int, list[BestLabel]] = {}
    for one in sorted(newest.values(), key=lambda one: one.label.id):
        found.setdefault(one.feature_id, []).append(one)
    return found


def that_counts(said: Sequence[BestLabel], values: Mapping[int, Mapping[tuple[str, int], float]]) -> BestLabel:
    """Return the label of a feature that counts, see `best`.

    Args:
        said: The current labels of the feature, oldest first.
        values: Scores of each label, as `scores.headline_values` returns them.
    """
    return said[
        place_that_counts([(one.label.id, one.label.status, one.labeler.kind == HUMAN) for one in said], values)
    ]


def place_that_counts(
    said: Sequence[tuple[int, str, bool]], values: Mapping[int, Mapping[tuple[str, int], float]]
) -> int:
    """Return the place of the label that counts among ids, statuses and whether a person said it; see `that_counts`."""
    results = [place for place, (_, status, _) in enumerate(said) if status != "failed"] or list(range(len(said)))
    people = [place for place in results if said[place][2]]
    if people or len(results) == 1:
        return (people or results)[-1]
    named = [values.get(said[place][0], {}) for place in results if said[place][1] == "ok"]
    shared = set.intersection(*map(set, named)) if named else set()
    for method in scores.HEADLINE:
        # Several judges may have scored all labels; the newest judge decides.
        judged = max((key for key in shared if key[0] == method), default=None)
        if judged is not None:
            chance = scores.CHANCE[method]
            return max(results, key=lambda place: (values.get(said[place][0], {}).get(judged, chance), said[place][0]))
    return results[-1]


def best_of(session: Session, feature_id: int, labelers: Collection[int] | None = None) -> BestLabel | None:
    """Return the label to show for one feature, None if it has no ok label."""
    dictionary_id = session.scalar(select(Feature.dictionary_id).where(Feature.id == feature_id))
    if dictionary_id is None:
        return None
    return best(session, dictionary_id, labelers, feature_ids=[feature_id]).get(feature_id)


def labeled_features(session: Session, feature_ids: Iterable[int]) -> set[int]:
    """Return the ids of those features that have an ok label."""
    found: set[int] = set()
    for some in bulk.chunks(feature_ids):
        named = select(Label.feature_id).where(Label.feature_id.in_(some), Label.status == "ok")
        found.update(session.scalars(named))
    return found


def store(session: Session, label: Label) -> None:
    """Store a label, in place of its labeler's earlier failures for the feature."""
    same = (Label.feature_id == label.feature_id, Label.labeler_id == label.labeler_id)
    session.execute(delete(Label).where(*same, Label.status == "failed"))
    session.add(label)


def by_ids(session: Session, label_ids: Iterable[int]) -> dict[int, Label]:
    """Return labels by their ids."""
    found: dict[int, Label] = {}
    for some in bulk.chunks(label_ids):
        found.update((label.id, label) for label in session.scalars(select(Label).where(Label.id.in_(some))))
    return found


def note_told_apart(session: Session, label_id: int, apart: Sequence[int], same: Sequence[int]) -> None:
    """Note of a label from which latents of nearly the same name it was told, and which of them are the same."""
    values = {"told_apart_from": list(apart), "same_as": list(same)}
    session.execute(update(Label).where(Label.id == label_id).values(values))


def without_score(
    session: Session,
    dictionary_id: int,
    slot: ScoreSlot,
    labeler_id: int | None = None,
    statuses: Sequence[LabelStatus] = ("ok",),
    retry: bool = False,
) -> list[Label]:
    """Return the newest label of each feature and labeler that lacks a score, in the features' order.

    Args:
        session: An open session.
        dictionary_id: The dictionary of the features.
        slot: The score that is missing.
        labeler_id: Only labels of this labeler; None for all.
        statuses: Only labels of these statuses.
        retry: Whether a score without a value, because of answers that could not be read, is missing.
    """
    later = aliased(Label)
    superseded = exists().where(
        later.feature_id == Label.feature_id,
        later.labeler_id == Label.labeler_id,
        later.status.in_(statuses),
        later.id > Label.id,
    )
    scored = exists().where(Score.label_id == Label.id, slot.condition)
    if retry:
        scored = scored.where(or_(Score.value.is_not(None), Score.unscored == 0))
    query = (
        select(Label)
        .join(Feature, Feature.id == Label.feature_id)
        .where(Feature.dictionary_id == dictionary_id, Label.status.in_(statuses), ~scored, ~superseded)
        .order_by(Feature.latent_index, Label.id)
    )
    if labeler_id is not None:
        query = query.where(Label.labeler_id == labeler_id)
    return list(session.scalars(query))


def ids_by_feature(session: Session, dictionary_id: int) -> dict[int, int]:
    """Feature id -> the id of its newest label, of all features of a dictionary that have one."""
    query = select(Label.feature_id, Label.id).join(Feature).where(Feature.dictionary_id == dictionary_id)
    return {row.feature_id: row.id for row in session.execute(query.order_by(Label.id))}


def newest_of_people(session: Session, feature_id: int) -> int | None:
    """Return the id of the newest label that a person gave a feature; None where nobody did."""
    query = select(Label.id).join(LabelerRow).where(Label.feature_id == feature_id, LabelerRow.kind == HUMAN)
    return session.scalar(query.order_by(Label.id.desc()).limit(1))
