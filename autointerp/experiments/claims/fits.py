"""The dictionaries of studies: fitted, named, and what is looked at of them alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autointerp.experiments.protocol import Figure
from autointerp.experiments.statistics import share
from autointerp.labeling.judging.intervals import wilson
from autointerp.project.targets import Target
from autointerp.stages.evaluate.evaluating import run_evaluate
from autointerp.stages.fit.planning import FitRequest
from autointerp.stages.pipeline.dictionaries import fit_layers
from autointerp.stages.pipeline.jobs import LabelJob
from autointerp.stages.pipeline.labels import label_layer

if TYPE_CHECKING:
    from autointerp.project.context import Context

LAYER = "mid"
SPECIFIC = "features with a specific truth"
COMPARED = {
    ("normalized inputs", "topk"): FitRequest("topk"),
    ("raw inputs", "topk"): FitRequest("topk", normalize="none"),
    ("normalized inputs", "itda"): FitRequest("itda"),
    ("normalized inputs", "neurons"): FitRequest("neurons"),
}
"""Dictionaries of one layer that are compared, by their inputs and their kind."""


def labeled_layer(ctx: Context, layers: Sequence[str], named: str) -> list[Figure]:
    """Fit a dictionary of each layer that lacks one, and name the features of one of them.

    Returns:
        How much of its layer each dictionary leaves unexplained.
    """
    _, rows = fit_layers(ctx, layers, [FitRequest()])
    label_layer(ctx, LabelJob(Target(named), score=False))
    return [Figure("fvu", row.layer, row.kind, row.fvu, n=row.images) for row in rows]


def fit_figures(ctx: Context) -> list[Figure]:
    """Fit the dictionaries that are compared, and return the shares of dead latents and of features with a truth.

    Both are of held-out pictures. A truth is what `evaluate` calls specific.
    """
    names = {}
    for place, request in COMPARED.items():
        _, (row,) = fit_layers(ctx, [LAYER], [request])
        names[row.name] = place
    _, reports = run_evaluate(ctx, [Target(LAYER, name) for name in names])
    figures = []
    for report in reports:
        of, (inputs, kind) = report.evaluation, names[report.evaluation.dictionary]
        dead = share(round(of.reconstruction["dead_share"] * of.features), of.features)
        figures.append(Figure("dead share", inputs, kind, *dead))
        if of.truth is not None:
            part, (low, high) = of.truth.specific, of.truth.intervals["specific"]
            # The interval over pictures is a point where no feature, or every one, has a truth in each set of pictures.
            least, most = wilson(round(part * of.features), of.features)
            figures.append(Figure(SPECIFIC, inputs, kind, part, min(low, least), max(high, most), of.features))
    return figures
