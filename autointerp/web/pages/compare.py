"""The page Compare: two dictionaries by their directions, and two labelers by what they say of the same features."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from autointerp.errors import AutointerpError
from autointerp.views.compare import Comparison, compare_dictionaries
from autointerp.views.compared_labelers import compare_labelers
from autointerp.views.labelers import list_labelers
from autointerp.web.listing import choices

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite

_MOST = 20_000
"""Labeled features of a workspace whose labelers the page lists; to list those of more takes too long for a page."""

_Name = Annotated[str, Query(max_length=500)]


def routes(site: ViewSite) -> APIRouter:
    """Return the page's routes."""
    router = APIRouter()
    kept: dict[tuple[str, str], Comparison] = {}
    lock = threading.Lock()

    def comparison(one: str, other: str) -> Comparison:
        # Weights never change under a dictionary's name, but names of pairs may: few are kept.
        with lock:
            if (one, other) not in kept:
                kept.clear()
                kept[one, other] = compare_dictionaries(site.ctx, one, other)
            return kept[one, other]

    @router.get("/compare", response_class=HTMLResponse, include_in_schema=False)
    def compare(
        one: _Name = "",
        other: _Name = "",
        labeler: _Name = "",
        beside: _Name = "",
        dictionary: _Name = "",
        embed: str | None = None,
    ) -> str:
        found, labelers, problem = None, None, ""
        try:
            found = comparison(one, other) if one and other else None
            labelers = compare_labelers(site.ctx, labeler, beside, dictionary or None) if labeler and beside else None
        except AutointerpError as error:
            problem = site.public(str(error))
        return site.render(
            "compare.html.j2",
            embed=embed is not None,
            page="compare",
            choices=choices(site),
            one=one,
            other=other,
            labeler=labeler,
            beside=beside,
            dictionary=dictionary,
            found=found,
            labelers=labelers,
            summaries=list_labelers(site.ctx) if int((site.catalog.statuses > 0).sum()) <= _MOST else None,
            problem=problem,
        )

    @router.get("/api/compare", summary="Two dictionaries: the keys of `autointerp compare --json`")
    def api_compare(one: _Name, other: _Name) -> dict[str, Any]:
        return comparison(one, other).as_dict()

    @router.get("/api/labelers", summary="Labelers: the keys of `autointerp labels list --json`")
    def api_labelers() -> list[dict[str, Any]]:
        return [summary.as_dict() for summary in list_labelers(site.ctx)]

    return router
