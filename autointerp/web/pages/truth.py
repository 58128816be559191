"""The page Truth: names beside what is true of their features, so that a newcomer sees what a wrong label looks like.

Truths are known of the embedded world alone, once `evaluate` found them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from autointerp.errors import UsageError, nearest
from autointerp.views.listed import read_listed
from autointerp.views.truth_list import KINDS, TruthList

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite

_SOME = 6
"""Features of each kind that the page shows at first."""
_PAGE = 48
"""Features of one kind at a time."""

_Name = Annotated[str, Query(max_length=500)]
_Kind = Annotated[str, Query(max_length=20, description=", ".join(KINDS))]
_After = Annotated[int, Query(ge=0, description="how many features to leave out")]


def routes(site: ViewSite) -> APIRouter:
    """Return the page's routes."""
    router = APIRouter()

    @router.get("/truth", response_class=HTMLResponse, include_in_schema=False)
    def truth(dictionary: _Name = "", kind: _Kind = "", embed: str | None = None) -> str:
        check_kind(kind)
        names = site.truth_lists.dictionaries()
        dictionary = dictionary or next(reversed(names), "")
        found = site.truth_lists.get(dictionary, site.catalog) if dictionary else None
        some = _PAGE if kind else _SOME
        shown = [one for one in ([kind] if kind else KINDS) if found is not None and found.places.get(one)]
        first = {one: cards(site, found, one, 0, some) for one in shown if found is not None}
        return site.render(
            "truth.html.j2",
            embed=embed is not None,
            page="truth",
            has_truths=site.ctx.world.truth is not None,
            dictionaries=names,
            dictionary=dictionary,
            kind=kind,
            kinds=KINDS,
            found=found,
            first=first,
        )

    @router.get("/api/truths", summary="Features by what their names are beside the truth; `done` of `total` are known")
    def api_truths(dictionary: _Name = "", kind: _Kind = "exact", after: _After = 0) -> dict[str, Any]:
        check_kind(kind)
        dictionary = dictionary or next(reversed(site.truth_lists.dictionaries()), "")
        found = site.truth_lists.get(dictionary, site.catalog) if dictionary else None
        if found is None:
            return {"done": 0, "total": 0, "counts": {}, "features": [], "pictures": {}, "next": None}
        answer = cards(site, found, kind, after, _PAGE)
        return {"done": found.done, "total": found.total, "counts": found.counts, **answer}

    return router


def check_kind(kind: str) -> None:
    """Refuse a kind that does not exist.

    Raises:
        UsageError: It does not.
    """
    if kind and kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}", nearest(kind, KINDS))


def cards(site: ViewSite, found: TruthList, kind: str, after: int, count: int) -> dict[str, Any]:
    """Return some features of a kind as cards, each with its truth, and after how many to go on."""
    places = found.places.get(kind, [])
    some = places[after : after + count]
    pictures: dict[int, list[Any]] = {}
    features = []
    for place, listed in zip(some, read_listed(site.ctx, site.catalog, some), strict=True):
        pictures |= listed.pictures
        features.append({**listed.as_dict(), "kind": kind, "truth": found.truths.get(place, "")})
    goes_on = len(places) > after + count
    return {"features": features, "pictures": pictures, "next": after + count if goes_on else None}
