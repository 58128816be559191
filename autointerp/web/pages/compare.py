"""The page Compare: two dictionaries by their directions, two models by what fires, two labelers by what they say.

Models are compared by the command, which generates pictures of both: a page can name no model to fetch or to run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from autointerp.errors import AutointerpError, UsageError
from autointerp.views.choices import read_choices
from autointerp.views.compare import Comparison, compare_dictionaries
from autointerp.views.compared_labelers import LabelerComparison, compare_labelers
from autointerp.views.compared_models import (
    CHANGES,
    ModelComparison,
    list_model_comparisons,
    read_model_comparison,
)
from autointerp.views.labelers import LabelerSummary, list_labelers

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite

_Name = Annotated[str, Query(max_length=500)]


def routes(site: ViewSite) -> APIRouter:
    """Return the page's routes."""
    router = APIRouter()
    kept: dict[tuple[str, str], Comparison] = {}
    told: dict[str, tuple[Any, Any]] = {}
    lock = threading.Lock()

    def comparison(one: str, other: str) -> Comparison:
        # Weights never change under a dictionary's name, but names of pairs may: few are kept.
        with lock:
            if (one, other) not in kept:
                kept.clear()
                kept[one, other] = compare_dictionaries(site.ctx, one, other)
            return kept[one, other]

    def kept_of(name: str, stamp: Any, read: Callable[[], Any]) -> Any:
        # Each of them reads all labels and scores, so that it is read again only where these changed.
        with lock:
            if name not in told or told[name][0] != stamp:
                told[name] = (stamp, read())
            return told[name][1]

    def summaries() -> list[LabelerSummary]:
        found: list[LabelerSummary] = kept_of("labelers", site.catalogs.stamps.now(), lambda: list_labelers(site.ctx))
        return found

    def two_labelers(one: str, other: str, dictionary: str) -> LabelerComparison:
        asked = (site.catalogs.stamps.now(), one, other, dictionary)
        read = partial(compare_labelers, site.ctx, one, other, dictionary or None)
        found: LabelerComparison = kept_of("two", asked, read)
        return found

    def two_models() -> list[ModelComparison]:
        return [read_model_comparison(site.ctx, one) for one in list_model_comparisons(site.ctx)]

    @router.get("/compare", response_class=HTMLResponse, include_in_schema=False)
    def compare(
        one: _Name = "",
        other: _Name = "",
        labeler: _Name = "",
        beside: _Name = "",
        dictionary: _Name = "",
        models: _Name = "",
        embed: str | None = None,
    ) -> str:
        found, labelers, pair, problem = None, None, None, ""
        comparisons = two_models()
        try:
            found = comparison(one, other) if one and other else None
            labelers = two_labelers(labeler, beside, dictionary) if labeler and beside else None
            pair = _named(comparisons, models) if models else None
        except AutointerpError as error:
            problem = site.public(str(error))
        return site.render(
            "compare.html.j2",
            embed=embed is not None,
            page="compare",
            choices=read_choices(site.ctx),
            one=one,
            other=other,
            labeler=labeler,
            beside=beside,
            dictionary=dictionary,
            found=found,
            labelers=labelers,
            comparisons=comparisons,
            models=pair,
            changes=CHANGES,
            problem=problem,
        )

    @router.get("/api/compare", summary="Two dictionaries: the keys of `autointerp compare --json`")
    def api_compare(one: _Name, other: _Name) -> dict[str, Any]:
        return comparison(one, other).as_dict()

    @router.get("/api/compare/models", summary="Two models: the keys of `compare --model --json`, less files")
    def api_models() -> list[dict[str, Any]]:
        return [{"experiment": one.experiment.name, **one.as_dict()} for one in two_models()]

    @router.get("/api/labelers", summary="Labelers: the keys of `autointerp labels list --json`")
    def api_labelers() -> list[dict[str, Any]]:
        return [summary.as_dict() for summary in summaries()]

    return router


def _named(comparisons: list[ModelComparison], name: str) -> ModelComparison:
    """Return the comparison of a name.

    Raises:
        UsageError: There is none.
    """
    found = next((one for one in comparisons if one.experiment.name == name), None)
    if found is None:
        raise UsageError(f"there is no finished comparison {name!r}", "choose one of the list")
    return found
