"""Reading everything that is known of one feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autointerp.crops.levels import level_edges
from autointerp.db import queries
from autointerp.db.models import Crop, DictionaryRow, Feature, Image, Label, LabelStatus, Score
from autointerp.project.context import Context
from autointerp.project.labeler_names import chosen_labelers, labeler_names
from autointerp.project.targets import find_feature
from autointerp.views.feature_view import (
    AtomSource,
    CropPlace,
    FeatureLabel,
    FeatureScore,
    FeatureView,
    HistogramLevel,
    LabelerAnswer,
    Neighbour,
)
from autointerp.views.tokens import PromptTokens

if TYPE_CHECKING:
    from autointerp.db import Session

_STATUSES: tuple[LabelStatus, ...] = ("ok", "uninterpretable", "failed")


def read_feature(ctx: Context, name: str, labeler: str | None = None) -> FeatureView:
    """Read all that is known of a feature.

    Args:
        ctx: The workspace.
        name: `DICTIONARY:INDEX`.
        labeler: Name of the labeler whose label is shown; None shows the label that counts.

    Raises:
        UsageError: There is no such feature or labeler.
    """
    row, feature = find_feature(ctx, name)
    chosen = chosen_labelers(ctx, labeler)
    tokens = PromptTokens(ctx) if row.stream == "text" else None
    with ctx.db.session() as session:
        best = queries.labels.best(session, row.id, chosen, _STATUSES, [feature.id]).get(feature.id)
        answers = _answers(session, row, feature, None if best is None else best.label.id)
        crops = queries.crops.of_feature(session, feature.id)
        return FeatureView(
            feature=f"{row.name}:{feature.latent_index}",
            stream=row.stream,
            state=feature.state,
            density=feature.density,
            max_activation=feature.max_activation,
            mean_activation=feature.mean_activation,
            histogram=tuple(histogram_levels(feature)),
            steps={int(step): share for step, share in feature.steps.items()},
            neighbours=_neighbours(session, row, feature),
            atom=_atom_source(feature, tokens),
            label=None if best is None else _label(row, best.label, best.labeler.kind),
            scores=next((one.scores for one in answers if one.counts), ()),
            answers=answers,
            crops=tuple(_crop_place(row, crop, image, tokens) for crop, image in crops),
            assumed=row.assumed,
        )


def histogram_levels(feature: Feature) -> list[HistogramLevel]:
    """Return the levels of activation, from the weakest to the strongest on which any cell lies."""
    edges = level_edges()
    first = feature.histogram.get("first", 0)
    return [HistogramLevel(edges[first + i], cells) for i, cells in enumerate(feature.histogram.get("counts", []))]


def _answers(session: Session, row: DictionaryRow, feature: Feature, counting: int | None) -> tuple[LabelerAnswer, ...]:
    """Read what each labeler says now, oldest first; `counting` is the id of the label that counts."""
    said = queries.labels.current(session, row.id, feature_ids=[feature.id]).get(feature.id, [])
    scores = queries.scores.of_labels(session, [one.label.id for one in said])
    names = labeler_names(queries.labelers.with_labels(session))
    return tuple(
        LabelerAnswer(
            label=_label(row, one.label, names[one.labeler.id]),
            counts=one.label.id == counting,
            scores=_scores(scores.get(one.label.id, [])),
        )
        for one in said
    )


def _label(row: DictionaryRow, label: Label, labeler: str) -> FeatureLabel:
    return FeatureLabel(
        status=label.status,
        name=label.name,
        explanation=label.explanation,
        confidence=label.confidence,
        labeler=labeler,
        error=label.error,
        told_apart_from=tuple(f"{row.name}:{latent}" for latent in label.told_apart_from or ()),
        difference=label.difference,
        name_before=label.name_before,
        same_as=tuple(f"{row.name}:{latent}" for latent in label.same_as or ()),
    )


def _scores(scores: Sequence[Score]) -> tuple[FeatureScore, ...]:
    return tuple(FeatureScore(s.method, s.value, s.ci_low, s.ci_high, s.note) for s in scores)


def _neighbours(session: Session, row: DictionaryRow, feature: Feature) -> tuple[Neighbour, ...]:
    """Read the names of the features that fire with this one most."""
    neighbours = []
    for latent, jaccard in feature.neighbours.items():
        other = queries.features.by_index(session, row.name, int(latent))
        best = None if other is None else queries.labels.best_of(session, other.id)
        name = "" if best is None else best.label.name
        neighbours.append(Neighbour(f"{row.name}:{latent}", name, jaccard))
    return tuple(neighbours)


def _atom_source(feature: Feature, tokens: PromptTokens | None) -> AtomSource | None:
    if feature.atom_prompt is None:
        return None
    return AtomSource(
        prompt=feature.atom_prompt,
        seed=feature.atom_seed,
        step=feature.atom_step,
        cell=(feature.atom_row, feature.atom_col),
        token=None if tokens is None else tokens.at(feature.atom_prompt, feature.atom_col or 0),
    )


def _crop_place(row: DictionaryRow, crop: Crop, image: Image, tokens: PromptTokens | None) -> CropPlace:
    cell = None if crop.row is None or crop.col is None else (crop.row, crop.col)
    return CropPlace(
        image=image.image_index,
        prompt=image.prompt,
        role=crop.role,
        neighbour=None if crop.neighbour is None else f"{row.name}:{crop.neighbour}",
        split=crop.split,
        activation=round(crop.activation, 4),
        cell=cell,
        token=None if tokens is None or cell is None else tokens.at(image.prompt, cell[1]),
        step=crop.step,
        box=(crop.box_left, crop.box_top, crop.box_right, crop.box_bottom),
    )
