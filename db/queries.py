"""What more than one caller asks of the database, so that no SQL stands in stages or the command line.

Every function takes an open session. Large results are Core rows, not objects (ORM reads are nine times slower),
and bulk inserts are Core `executemany` (ORM `add_all` is twenty times slower).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, case, delete, exists, func, insert, or_, select
from sqlalchemy.orm import Session, aliased

from autointerp.db.models import (
    Base,
    Call,
    Crop,
    Dictionary,
    Feature,
    Image,
    Judgement,
    Label,
    Labeler,
    LabelStatus,
    Role,
    Run,
    RunKind,
    Score,
    Split,
    State,
)

CHUNK = 500
"""Ids in one IN clause: SQLite takes at least 999 parameters."""
HUMAN = "human"
"""Kind of the labelers that are people."""
HEADLINE = ("detection", "embedding")
"""Scores that stand for a label, the one that says more first."""
CHANCE = 0.5
"""What either of them is of a label that says nothing."""


@dataclass(frozen=True)
class BestLabel:
    """A label of a feature, such as the one that is shown for it, with the labeler that said it."""

    feature_id: int
    label: Label
    labeler: Labeler


@dataclass(frozen=True)
class DictionaryCounts:
    """How far a dictionary is: features by state, labels by status, crops, images, scores."""

    features: dict[str, int]
    labels: dict[str, int]
    crops: int
    images: int
    scores: int


def insert_many(session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert plain rows fast; defaults of the models hold, ids do not come back."""
    if rows:
        session.execute(insert(model.__table__), [dict(row) for row in rows])  # type: ignore[arg-type]


def chunks(ids: Iterable[int], size: int = CHUNK) -> Iterable[list[int]]:
    """The ids in lists short enough for one IN clause."""
    listed = list(ids)
    return (listed[i : i + size] for i in range(0, len(listed), size))


# Dictionaries


def all_dictionaries(session: Session) -> list[Dictionary]:
    """Every dictionary, oldest first."""
    return list(session.scalars(select(Dictionary).order_by(Dictionary.id)))


def dictionary_by_name(session: Session, name: str) -> Dictionary | None:
    """The dictionary of that name."""
    return session.scalar(select(Dictionary).where(Dictionary.name == name))


def dictionary_by_identity(session: Session, identity: str) -> Dictionary | None:
    """The dictionary made by exactly this."""
    return session.scalar(select(Dictionary).where(Dictionary.identity == identity))


def dictionaries_of_layer(session: Session, layer: str) -> list[Dictionary]:
    """Dictionaries of a layer, given by alias or hookpoint, newest first."""
    wanted = (Dictionary.layer == layer) | (Dictionary.hookpoint == layer)
    return list(session.scalars(select(Dictionary).where(wanted).order_by(Dictionary.id.desc())))


def free_name(session: Session, wanted: str) -> str:
    """`wanted`, or with the first free `-2`, `-3` ...: what exists keeps its name."""
    taken = set(session.scalars(select(Dictionary.name)))
    candidate, number = wanted, 2
    while candidate in taken:
        candidate, number = f"{wanted}-{number}", number + 1
    return candidate


def remove_dictionary(session: Session, name: str, spared: Collection[str] = ()) -> bool:
    """Delete a dictionary with all under it; False if there is none.

    Images that no crop needs any more go too, but for those of the generation hashes `spared`.
    """
    dictionary = dictionary_by_name(session, name)
    if dictionary is None:
        return False
    session.execute(delete(Dictionary).where(Dictionary.id == dictionary.id))
    orphaned = select(Image.id, Image.generation_hash).where(~exists().where(Crop.image_id == Image.id))
    remove_orphaned_images(session, [image for image, found in session.execute(orphaned).all() if found not in spared])
    session.expire_all()
    return True


def remove_orphaned_images(session: Session, among: Iterable[int] | None = None) -> int:
    """Delete images (of these ids, or any) that no crop refers to; how many there were."""
    orphaned = delete(Image).where(~exists().where(Crop.image_id == Image.id)).returning(Image.id)
    if among is None:
        return len(session.execute(orphaned).all())
    return sum(len(session.execute(orphaned.where(Image.id.in_(some))).all()) for some in chunks(among))


# Features and crops


def _ordered_features(dictionary_id: int) -> Select[Any]:
    # One fixed order: `-n N` must take the same features every time.
    live_first = case((Feature.state == "live", 0), else_=1)
    wanted = select(Feature).where(Feature.dictionary_id == dictionary_id)
    return wanted.order_by(live_first, Feature.latent_index)


def features(
    session: Session, dictionary_id: int, state: State | None = None, limit: int | None = None, offset: int = 0
) -> list[Feature]:
    """Features in their one fixed order: live ones first, then by latent index."""
    query = _ordered_features(dictionary_id)
    if state is not None:
        query = query.where(Feature.state == state)
    return list(session.scalars(query.limit(limit).offset(offset)))


def feature(session: Session, dictionary_name: str, latent_index: int) -> Feature | None:
    """The feature `DICTIONARY:INDEX`."""
    query = select(Feature).join(Dictionary)
    return session.scalar(query.where(Dictionary.name == dictionary_name, Feature.latent_index == latent_index))


def features_without_label(
    session: Session,
    dictionary_id: int,
    labeler_id: int,
    among: Sequence[int] | None = None,
    retry_failed: bool = False,
) -> list[Feature]:
    """Live features this labeler has no label for, in the fixed order; `among` restricts to feature ids.

    With `retry_failed` those whose only labels failed count as missing.
    """
    given = exists().where(Label.feature_id == Feature.id, Label.labeler_id == labeler_id)
    if retry_failed:
        given = given.where(Label.status != "failed")
    query = _ordered_features(dictionary_id).where(Feature.state == "live", ~given)
    missing = list(session.scalars(query))
    wanted = None if among is None else set(among)
    return [f for f in missing if wanted is None or f.id in wanted]


def crops_of_feature(
    session: Session, feature_id: int, split: Split | None = None, role: Role | None = None, limit: int | None = None
) -> list[tuple[Crop, Image]]:
    """Crops of a feature with their images: top, then quantiles, then negatives, each by rank.

    The pictures are not loaded with the images; see `pictures`.
    """
    order = case((Crop.role == "top", 0), (Crop.role == "quantile", 1), else_=2)
    query = select(Crop, Image).join(Image, Image.id == Crop.image_id).where(Crop.feature_id == feature_id)
    if split is not None:
        query = query.where(Crop.split == split)
    if role is not None:
        query = query.where(Crop.role == role)
    rows = session.execute(query.order_by(order, Crop.rank, Crop.id).limit(limit)).all()
    return [(crop, image) for crop, image in rows]


def pictures(session: Session, image_ids: Iterable[int]) -> dict[int, bytes]:
    """The stored WebP of each image id."""
    found: dict[int, bytes] = {}
    for some in chunks(set(image_ids)):
        rows = session.execute(select(Image.id, Image.picture).where(Image.id.in_(some)))
        found.update({image_id: data for image_id, data in rows})
    return found


def picture(session: Session, generation_hash: str) -> bytes | None:
    """The stored picture of an image, if there is one."""
    return session.scalar(select(Image.picture).where(Image.generation_hash == generation_hash))


def image_ids(session: Session, generation_hashes: Iterable[str]) -> dict[str, int]:
    """Generation hash -> image id, for those that are stored."""
    found: dict[str, int] = {}
    hashes = list(generation_hashes)
    for i in range(0, len(hashes), CHUNK):
        some = hashes[i : i + CHUNK]
        rows = session.execute(select(Image.generation_hash, Image.id).where(Image.generation_hash.in_(some)))
        found.update({generation: image_id for generation, image_id in rows})
    return found


def layer_prompts(session: Session, dictionary_id: int, split: Split) -> list[str]:
    """The prompt of every image of a split that a crop of the dictionary lies in, one entry an image."""
    used = select(Crop.image_id).join(Feature).where(Feature.dictionary_id == dictionary_id, Crop.split == split)
    return list(session.scalars(select(Image.prompt).where(Image.id.in_(used)).order_by(Image.id)))


# Labelers, labels, scores


def ensure_labeler(session: Session, config: Mapping[str, Any] | None = None, **identity: str) -> Labeler:
    """The labeler with this identity (kind, model, base_url, prompt_hash, config_hash), made if it is new."""
    columns = ("kind", "model", "base_url", "prompt_hash", "config_hash")
    values = {name: identity.get(name, "") for name in columns}
    found = session.scalar(select(Labeler).filter_by(**values))
    if found is None:
        found = Labeler(**values, config=dict(config or {}))
        session.add(found)
        session.flush()
    return found


def best_labels(
    session: Session,
    dictionary_id: int,
    labelers: Collection[int] | None = None,
    statuses: Sequence[LabelStatus] = ("ok",),
    feature_ids: Iterable[int] | None = None,
) -> dict[int, BestLabel]:
    """Feature id -> the label that counts, among what each labeler (or each of these alone) says now.

    A person's before any other's. Else the one with the best score, of those that all of them have, by the same judge;
    `uninterpretable` says that no name is better than chance, so it stands at chance. Where there is no such score,
    the newest. A failure is no result, and hides nothing. Features whose label is of another status than `statuses`
    are left out.
    """
    said = current_labels(session, dictionary_id, labelers, feature_ids)
    doubtful = [one.label.id for several in said.values() if len(several) > 1 for one in several]
    scores = _headline_scores(session, doubtful)
    best = {feature_id: that_counts(several, scores) for feature_id, several in said.items()}
    return {feature_id: found for feature_id, found in best.items() if found.label.status in statuses}


def current_labels(
    session: Session,
    dictionary_id: int,
    labelers: Collection[int] | None = None,
    feature_ids: Iterable[int] | None = None,
) -> dict[int, list[BestLabel]]:
    """Feature id -> what each labeler (or each of these alone) says now: its newest result, else its failure."""
    query = (
        select(Label, Labeler)
        .join(Labeler, Labeler.id == Label.labeler_id)
        .join(Feature, Feature.id == Label.feature_id)
        .where(Feature.dictionary_id == dictionary_id)
        .order_by(case((Label.status == "failed", 0), else_=1), Label.id)
    )
    if labelers is not None:
        query = query.where(Label.labeler_id.in_(labelers))
    pages = [None] if feature_ids is None else chunks(feature_ids)
    newest: dict[tuple[int, int], BestLabel] = {}
    for page in pages:
        rows = session.execute(query if page is None else query.where(Label.feature_id.in_(page)))
        # The order is from worst to best, so the last one stays.
        newest.update({(one.feature_id, by.id): BestLabel(one.feature_id, one, by) for one, by in rows})
    found: dict[int, list[BestLabel]] = {}
    for one in sorted(newest.values(), key=lambda one: one.label.id):
        found.setdefault(one.feature_id, []).append(one)
    return found


def that_counts(said: Sequence[BestLabel], scores: Mapping[int, Mapping[tuple[str, int], float]]) -> BestLabel:
    """The one of a feature's labels that counts, see `best_labels`; `said` is oldest first."""
    results = [one for one in said if one.label.status != "failed"] or said
    people = [one for one in results if one.labeler.kind == HUMAN]
    if people or len(results) == 1:
        return (people or results)[-1]
    named = [scores.get(one.label.id, {}) for one in results if one.label.status == "ok"]
    shared = set.intersection(*map(set, named)) if named else set()
    for method in HEADLINE:
        # Of several judges that all of them had, the newest.
        judged = max((key for key in shared if key[0] == method), default=None)
        if judged is not None:
            return max(results, key=lambda one: (scores.get(one.label.id, {}).get(judged, CHANCE), one.label.id))
    return results[-1]


def _headline_scores(session: Session, label_ids: Iterable[int]) -> dict[int, dict[tuple[str, int], float]]:
    """Label id -> (method, judge's id or 0) -> the newest value of a score that can stand for the label."""
    found: dict[int, dict[tuple[str, int], float]] = {}
    for some in chunks(label_ids):
        query = (
            select(Score.label_id, Score.method, Score.judge_id, Score.value)
            .outerjoin(Labeler, Labeler.id == Score.judge_id)
            .where(Score.label_id.in_(some), Score.method.in_(HEADLINE), ~Score.shuffled)
            .where(or_(Labeler.kind.is_(None), Labeler.kind != "control"))
        )
        for label_id, method, judge_id, value in session.execute(query.order_by(Score.id)):
            if value is not None:
                found.setdefault(label_id, {})[method, judge_id or 0] = value
    return found


def best_label(session: Session, feature_id: int, labelers: Collection[int] | None = None) -> BestLabel | None:
    """The ok label to show for one feature."""
    dictionary_id = session.scalar(select(Feature.dictionary_id).where(Feature.id == feature_id))
    if dictionary_id is None:
        return None
    return best_labels(session, dictionary_id, labelers, feature_ids=[feature_id]).get(feature_id)


def features_with_label(session: Session, feature_ids: Iterable[int]) -> set[int]:
    """Those of these features that somebody has named."""
    found: set[int] = set()
    for some in chunks(feature_ids):
        named = select(Label.feature_id).where(Label.feature_id.in_(some), Label.status == "ok")
        found.update(session.scalars(named))
    return found


def labelers_with_labels(session: Session) -> list[Labeler]:
    """Every labeler that has said something, oldest first."""
    given = exists().where(Label.labeler_id == Labeler.id)
    return list(session.scalars(select(Labeler).where(given).order_by(Labeler.id)))


def scores_of_labels(session: Session, label_ids: Iterable[int]) -> dict[int, list[Score]]:
    """Label id -> its newest score of each method and judge; controls are no scores."""
    found: dict[int, list[Score]] = {}
    for score, judge in judged_scores(session, label_ids):
        if not score.shuffled and (judge is None or judge.kind != "control"):
            found.setdefault(score.label_id, []).append(score)
    return found


def judged_scores(session: Session, label_ids: Iterable[int]) -> list[tuple[Score, Labeler | None]]:
    """The newest score of each label, method and judge, shuffled or not, with the judge; oldest first."""
    newest: dict[tuple[int, str, int | None, bool], tuple[Score, Labeler | None]] = {}
    for some in chunks(label_ids):
        query = select(Score, Labeler).outerjoin(Labeler, Labeler.id == Score.judge_id)
        for score, judge in session.execute(query.where(Score.label_id.in_(some)).order_by(Score.id)):
            newest[score.label_id, score.method, score.judge_id, score.shuffled] = (score, judge)
    return list(newest.values())


def trial_counts(session: Session, score_ids: Iterable[int]) -> dict[int, int]:
    """Score id -> how many trials it has."""
    found: dict[int, int] = {}
    for some in chunks(score_ids):
        query = select(Judgement.score_id, func.count()).where(Judgement.score_id.in_(some))
        found.update({score_id: count for score_id, count in session.execute(query.group_by(Judgement.score_id))})
    return found


def headline_score(scores: Sequence[Score]) -> float | None:
    """The one figure shown for a label: detection where a judge gave one, else the embedding score."""
    for method in HEADLINE:
        values = [s.value for s in scores if s.method == method and s.value is not None]
        if values:
            return round(values[-1], 4)
    return None


def labels_without_score(
    session: Session,
    dictionary_id: int,
    method: str,
    judge_id: int | None = None,
    labeler_id: int | None = None,
    shuffled: bool = False,
    statuses: Sequence[LabelStatus] = ("ok",),
    retry: bool = False,
) -> list[Label]:
    """Labels that the method (by this judge) has not scored, in the features' order; newest label a labeler.

    `shuffled` asks for scores of another label's words instead. With `retry` a score without a value, of which some
    answers could not be read, is none.
    """
    later = aliased(Label)
    superseded = exists().where(
        later.feature_id == Label.feature_id,
        later.labeler_id == Label.labeler_id,
        later.status.in_(statuses),
        later.id > Label.id,
    )
    same_judge = Score.judge_id.is_(None) if judge_id is None else Score.judge_id == judge_id
    scored = exists().where(Score.label_id == Label.id, Score.method == method, Score.shuffled == shuffled, same_judge)
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


# Runs and figures


def run_by_identity(session: Session, kind: RunKind, identity: str) -> Run | None:
    """The run that does exactly this, whatever became of it."""
    return session.scalar(select(Run).where(Run.kind == kind, Run.identity == identity))


def counts(session: Session, dictionary_id: int) -> DictionaryCounts:
    """How far a dictionary is."""
    mine = Feature.dictionary_id == dictionary_id
    by_state = select(Feature.state, func.count()).where(mine).group_by(Feature.state)
    # Labels of several labelers stand side by side; a feature counts once, by its newest result, or else its failure.
    result = func.max(case((Label.status != "failed", Label.id)))
    newest = select(func.coalesce(result, func.max(Label.id))).join(Feature).where(mine).group_by(Label.feature_id)
    by_status = select(Label.status, func.count()).where(Label.id.in_(newest)).group_by(Label.status)
    crops = select(func.count(), func.count(Crop.image_id.distinct())).select_from(Crop).join(Feature).where(mine)
    scores = select(func.count()).select_from(Score).join(Label).join(Feature).where(mine, ~Score.shuffled)
    crop_count, image_count = session.execute(crops).one()
    return DictionaryCounts(
        features={state: n for state, n in session.execute(by_state)},
        labels={status: n for status, n in session.execute(by_status)},
        crops=crop_count,
        images=image_count,
        scores=session.scalar(scores) or 0,
    )


# Calls


@dataclass(frozen=True)
class CallCounts:
    """What remote models were asked: attempts and answers, tokens, dollars, and answers of unknown price.

    `named` features have a label by one, and `unnamed` are live, without one, in a dictionary that has such labels.
    """

    calls: int
    answers: int
    input_tokens: int
    output_tokens: int
    spent: float
    unpriced: int
    named: int
    unnamed: int


def call_counts(session: Session) -> CallCounts:
    """All calls so far, and the features they are about."""
    answered = Call.answer.is_not(None)
    row = session.execute(
        select(
            func.count(),
            func.count(Call.answer),
            func.coalesce(func.sum(Call.input_tokens), 0),
            func.coalesce(func.sum(Call.output_tokens), 0),
            func.coalesce(func.sum(Call.cost), 0.0),
            func.count(case((answered & Call.cost.is_(None), 1))),
        )
    ).one()
    labels = select(Label.feature_id).join(Labeler).where(Labeler.kind == "vlm", Label.status != "failed")
    mine = select(Feature.dictionary_id).where(Feature.id.in_(labels))
    live = select(func.count()).select_from(Feature).where(Feature.state == "live", Feature.dictionary_id.in_(mine))
    every, named = session.scalar(live) or 0, session.scalar(live.where(Feature.id.in_(labels))) or 0
    return CallCounts(*row[:4], row[4] or 0.0, row[5], named, every - named)
