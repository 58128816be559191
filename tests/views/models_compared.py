"""A finished comparison of two models, as the experiment stores it."""

from __future__ import annotations

from autointerp.db import queries
from autointerp.db.queries.experiments import PlannedExperiment
from autointerp.project.context import Context
from autointerp.views.experiments import report_name
from autointerp.views.figures import Figure

NAME = "shapes-turbo.mid.topk"
MODELS = ("shapes-turbo", "shapes")
REPORT = report_name("models", "c" * 64)


def store_comparison(ctx: Context, latent: int, dictionary: str = NAME, finished: bool = True) -> None:
    """Store a comparison in which a latent fires more, and another one no more."""
    figures = [
        *(Figure("fvu", "all cells", name, value) for name, value in zip(MODELS, (0.2, 0.4), strict=True)),
        *(Figure("l0", "all cells", name, value) for name, value in zip(MODELS, (2.0, 2.5), strict=True)),
    ]
    for change, count in {"more": 1, "less": 0, "new": 0, "gone": 1}.items():
        figures.append(Figure("features that differ", change, "found", count))
    for change, count, chance, high in (("more", 5, 1.5, 4.0), ("less", 3, 1.25, 3.0)):
        name = "features that differ, each by itself"
        figures.append(Figure(name, change, "found", count))
        figures.append(Figure(name, change, "pictures swapped", chance, 0.0, high, 1000, control=True))
    for change, index, values in (("more", latent, (2.0, 5.0)), ("gone", 99, (1.0, 0.0))):
        name, group = f"percent of cells where it fires: {change}", f"{dictionary}:{index}"
        figures += [Figure(name, group, way, value) for way, value in zip(MODELS, values, strict=True)]
        apart = values[1] - values[0]
        figures.append(Figure(name, group, "difference", apart, apart - 1, apart + 1, 40))
        figures.append(Figure(name, group, "chance", 0.001))
    asked = {"dictionary": dictionary, "images": 40, "models": [{"name": name} for name in MODELS]}
    work = PlannedExperiment("models", "c" * 64, "shapes-turbo", None, asked, 1)
    with ctx.db.session() as session:
        row = queries.experiments.begin(session, work)
        if finished:
            queries.experiments.finish(session, row, [figure.as_dict() for figure in figures])
