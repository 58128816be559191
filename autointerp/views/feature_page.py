"""What the page of one feature draws beyond `show`: crops with their maps, scores that can be opened, namesakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Feature, Score
from autointerp.db.queries.catalog import MappedCrop
from autointerp.project.context import Context
from autointerp.project.labeler_names import labeler_names
from autointerp.project.targets import find_feature
from autointerp.views.catalog import FeatureCatalog
from autointerp.views.feature import histogram_levels
from autointerp.views.feature_view import HistogramLevel
from autointerp.views.listed import drawn_crop, drawn_pictures

if TYPE_CHECKING:
    from autointerp.db import Session


CROPS = {"top": 12, "quantile": 16, "negative": 6}
"""Crops of each role that the page shows at first."""


@dataclass(frozen=True)
class OpenScore:
    """A score whose trials can be opened; fields as in the table `scores`."""

    id: int
    method: str
    judge: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    note: str
    trials: int


@dataclass(frozen=True)
class SaidLabel:
    """What one labeler says of a feature now.

    Attributes:
        id: Id of the label.
        labeler: The labeler's whole name.
        is_human: A person said it.
        counts: This is the label that is shown for the feature.
        status: `ok`, `uninterpretable` or `failed`.
        name: The name; empty unless the status is `ok`.
        explanation: One sentence.
        confidence: The labeler's own, from 0 to 1.
        error: Why it failed.
        difference: What only this feature has of those of nearly the same name.
        name_before: The name before it was told from them.
        told_apart_from: Those features.
        scores: Scores of the label.
    """

    id: int
    labeler: str
    is_human: bool
    counts: bool
    status: str
    name: str
    explanation: str
    confidence: float
    error: str
    difference: str
    name_before: str
    told_apart_from: tuple[str, ...]
    scores: tuple[OpenScore, ...]


@dataclass(frozen=True)
class RelatedFeature:
    """A feature that has to do with this one, with what tells it apart or how much it has to do."""

    feature: str
    name: str
    share: float | None = None
    difference: str = ""


@dataclass(frozen=True)
class FeaturePage:
    """One feature as its page shows it.

    Attributes:
        feature: `DICTIONARY:INDEX`.
        row: Its dictionary.
        stored: The feature's row.
        labels: What each labeler says now, the label that counts first.
        crops: Its crops as `drawing.js` takes them.
        pictures: Their pictures.
        hidden_crops: How many more crops are stored.
        histogram: Cells by level of activation, the weakest level first.
        fires_with: The features that fire with it most, with the Jaccard index of their cells.
        namesakes: Other features of the same name, with what tells each apart.
    """

    feature: str
    row: DictionaryRow
    stored: Feature
    labels: tuple[SaidLabel, ...]
    crops: list[list[Any]]
    pictures: dict[int, list[Any]]
    hidden_crops: int
    histogram: list[HistogramLevel]
    fires_with: tuple[RelatedFeature, ...]
    namesakes: tuple[RelatedFeature, ...]

    @property
    def label(self) -> SaidLabel | None:
        """The label that counts."""
        return next((label for label in self.labels if label.counts), None)

    @property
    def drawn(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {
            "crops": self.crops,
            "pictures": self.pictures,
            "histogram": [[level.edge, level.cells] for level in self.histogram],
            "steps": [[int(step), share] for step, share in self.stored.steps.items()],
            "scores": [
                {"id": score.id, "line": [score.method, score.value, score.ci_low, score.ci_high]}
                for label in self.labels
                for score in label.scores
            ],
        }


def read_feature_page(ctx: Context, catalog: FeatureCatalog, name: str, all_crops: bool = False) -> FeaturePage:
    """Read a feature as its page shows it.

    Args:
        ctx: The workspace.
        catalog: The list of all features.
        name: `DICTIONARY:INDEX`.
        all_crops: Take all crops; without it at most `CROPS` of each role.

    Raises:
        UsageError: There is no such feature.
    """
    row, feature = find_feature(ctx, name)
    with ctx.db.session() as session:
        said = queries.labels.current(session, row.id, feature_ids=[feature.id]).get(feature.id, [])
        best = queries.labels.best(session, row.id, None, ("ok", "uninterpretable", "failed"), [feature.id])
        counting = best[feature.id].label.id if feature.id in best else None
        scores = queries.scores.of_labels(session, [one.label.id for one in said])
        every = [score for several in scores.values() for score in several]
        trials = queries.scores.trial_counts(session, [score.id for score in every])
        judges = labeler_names(queries.labelers.by_ids(session, {s.judge_id for s in every if s.judge_id is not None}))
        names = labeler_names(queries.labelers.with_labels(session))
        labels = [
            SaidLabel(
                id=one.label.id,
                labeler=names[one.labeler.id],
                is_human=one.labeler.kind == queries.labels.HUMAN,
                counts=one.label.id == counting,
                status=one.label.status,
                name=one.label.name,
                explanation=one.label.explanation,
                confidence=one.label.confidence,
                error=one.label.error,
                difference=one.label.difference,
                name_before=one.label.name_before,
                told_apart_from=tuple(f"{row.name}:{latent}" for latent in one.label.told_apart_from or ()),
                scores=tuple(_open_score(s, judges, trials) for s in scores.get(one.label.id, [])),
            )
            for one in said
        ]
        # A hard negative shows where another feature fires, which is what the trials are for.
        every_crop = [line for line in queries.catalog.crop_lines(session, feature.id) if line.neighbour is None]
        lines = every_crop if all_crops else _some_crops(every_crop)
        others = queries.features.ids_by_latents(session, row.id, [int(latent) for latent in feature.neighbours])
        namesakes = _namesakes(session, catalog, feature)
    return FeaturePage(
        feature=f"{row.name}:{feature.latent_index}",
        row=row,
        stored=feature,
        labels=tuple(sorted(labels, key=lambda label: (not label.counts, label.status != "ok", label.id))),
        crops=[drawn_crop(one.crop, one.packed_map, row.stream) for one in lines],
        pictures=drawn_pictures([one.crop for one in lines]),
        hidden_crops=len(every_crop) - len(lines),
        histogram=histogram_levels(feature),
        fires_with=tuple(
            RelatedFeature(f"{row.name}:{latent}", _name_in(catalog, others.get(int(latent))), share)
            for latent, share in feature.neighbours.items()
        ),
        namesakes=namesakes,
    )


def _some_crops(lines: Sequence[MappedCrop]) -> list[MappedCrop]:
    """Return the strongest top crops, crops spread over the range, and a few negatives, each strongest first."""
    chosen: list[MappedCrop] = []
    for role, most in CROPS.items():
        own = sorted((one for one in lines if one.crop.role == role), key=lambda one: -one.crop.activation)
        if role == "quantile" and len(own) > most:
            own = [own[number * (len(own) - 1) // (most - 1)] for number in range(most)]
        chosen += own[:most]
    return chosen


def _open_score(score: Score, judges: dict[int, str], trials: dict[int, int]) -> OpenScore:
    judge = "" if score.judge_id is None else judges.get(score.judge_id, "")
    figures = (score.value, score.ci_low, score.ci_high)
    return OpenScore(score.id, score.method, judge, *figures, score.note, trials.get(score.id, 0))


def _name_in(catalog: FeatureCatalog, feature_id: int | None) -> str:
    place = None if feature_id is None else catalog.place_of(feature_id)
    return "" if place is None else catalog.names[place]


def _namesakes(session: Session, catalog: FeatureCatalog, feature: Feature) -> tuple[RelatedFeature, ...]:
    """Return other features of the same name."""
    place = catalog.place_of(feature.id)
    if place is None or not catalog.names[place]:
        return ()
    places = catalog.namesakes(place)
    labels = queries.labels.by_ids(session, [int(catalog.label_ids[other]) for other in places])
    names = {row.id: row.name for row in queries.dictionaries.list_all(session)}
    found = []
    for other in places:
        label = labels.get(int(catalog.label_ids[other]))
        whole = f"{names.get(int(catalog.dictionaries[other]), '')}:{int(catalog.latents[other])}"
        found.append(RelatedFeature(whole, catalog.names[other], difference="" if label is None else label.difference))
    return tuple(found)
