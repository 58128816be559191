"""The page Features: the grid with filters, order and search, and the same list as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from autointerp.views.catalog import SORTS, STATES, STATUSES
from autointerp.views.choices import read_choices
from autointerp.views.search.route import ROUTES, check_routes
from autointerp.views.truth_list import KINDS
from autointerp.web.guard import UPLOADS
from autointerp.web.listing import ListQuery, question_of, read_page
from autointerp.web.uploads import TooLarge, read_bounded

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite


def routes(site: ViewSite) -> APIRouter:
    """Return the page's routes."""
    router = APIRouter()

    @router.get("/features", response_class=HTMLResponse, include_in_schema=False)
    def features(query: Annotated[ListQuery, Depends()], embed: str | None = None) -> str:
        found = read_page(site, query)
        return site.render(
            "features.html.j2",
            embed=embed is not None,
            page="queue" if query.queue else "features",
            asked=query.q,
            query=query,
            found=found,
            first=found.as_dict(),
            stored=len(site.catalog),
            named=bool((site.catalog.statuses == STATUSES.index("ok")).any()),
            choices=read_choices(site.ctx),
            sorts=SORTS,
            states=STATES,
            statuses=STATUSES,
            kinds=KINDS if site.truth_lists.dictionaries() else (),
            routes=[name for name, kind in ROUTES.items() if query.like or not kind.for_references],
        )

    @router.get("/api/features", summary="A list of features with their strongest crops")
    def api_features(query: Annotated[ListQuery, Depends()]) -> dict[str, Any]:
        return read_page(site, query).as_dict()

    @router.get("/api/search", summary="Search: the keys of `autointerp search --json`")
    def api_search(query: Annotated[ListQuery, Depends()]) -> list[dict[str, Any]]:
        found = site.desk.find(question_of(site, query), query.scope, check_routes(query.route or None), query.limit)
        return [hit.as_dict() for hit in found.hits]

    @router.post(UPLOADS, include_in_schema=False)
    async def upload(request: Request) -> Response:
        from anyio.to_thread import run_sync

        try:
            data = await read_bounded(request.stream())
        except TooLarge as error:
            return JSONResponse({"error": error.message, "hint": error.hint}, 413)
        return JSONResponse({"picture": await run_sync(site.pictures.add, data)})

    return router
