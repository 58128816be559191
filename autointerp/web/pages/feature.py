"""The page of one feature: where it fires, what labelers say of it, how their words were judged, and what is near."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from autointerp.errors import AutointerpError
from autointerp.export.gallery import visible
from autointerp.project.targets import find_feature
from autointerp.views.feature import read_feature
from autointerp.views.feature_page import read_feature_page
from autointerp.views.listed import read_listed
from autointerp.views.search.question import SearchQuestion
from autointerp.views.trials import read_trials
from autointerp.web.listing import ListQuery, scope_of
from autointerp.web.pages.steer import ICON

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite

_NEAR = 10
"""Features of like direction that the page shows."""


def routes(site: ViewSite) -> APIRouter:
    """Return the page's routes."""
    router = APIRouter()

    @router.get("/feature/{name:path}", response_class=HTMLResponse, include_in_schema=False)
    def feature(name: str, query: Annotated[ListQuery, Depends()], crops: str = "", embed: str | None = None) -> str:
        shown = read_feature_page(site.ctx, site.catalog, name, crops == "all")
        before, behind, total = around(site, query, shown.stored.id)
        return site.render(
            "feature.html.j2",
            embed=embed is not None,
            page="queue" if query.queue else "features",
            shown=shown,
            query=query,
            strengths=" ".join(f"{one:g}" for one in ICON),
            before=before,
            behind=behind,
            total=total,
            truth=site.truths.of(shown.row, shown.stored.latent_index, "" if shown.label is None else shown.label.name),
        )

    @router.get("/api/features/{name:path}", summary="One feature: the keys of `autointerp show --json`")
    def api_feature(name: str, labeler: str | None = None) -> dict[str, Any]:
        return read_feature(site.ctx, name, labeler).as_dict()

    @router.get("/api/trials/{score}", summary="Each judged trial of a score: what was shown, asked and answered")
    def api_trials(score: int) -> dict[str, Any]:
        return read_trials(site.ctx, score).as_dict()

    @router.get("/api/near/{name:path}", summary="The features of the most similar directions")
    def api_near(name: str) -> dict[str, Any]:
        found = site.desk.find(SearchQuestion(like=name), routes=("decoder",), count=_NEAR)
        near = [{"feature": hit.feature, "name": visible(hit.name), "cosine": hit.similarity} for hit in found.hits]
        return {"near": near, "notes": [site.public(note) for note in found.notes]}

    @router.get("/api/truth/{name:path}", summary="The truth of a feature beside its name; null where it is not known")
    def api_truth(name: str) -> dict[str, Any] | None:
        row, stored = find_feature(site.ctx, name)
        place = site.catalog.place_of(stored.id)
        found = site.truths.of(row, stored.latent_index, "" if place is None else site.catalog.names[place])
        return None if found is None else found.as_dict()

    return router


def around(site: ViewSite, query: ListQuery, feature_id: int) -> tuple[str | None, str | None, int]:
    """Return the features before and after one in the list that led to it, and the length of the list.

    A list that a search found has no order to go on in, so its filters alone hold.
    """
    try:
        catalog, filters, _ = scope_of(site, query)
        ends = catalog.around(filters, query.order, feature_id)
    except AutointerpError:
        return None, None, 0
    before, behind = (
        None if place is None else read_listed(site.ctx, catalog, [place], 0)[0].feature for place in ends
    )
    return before, behind, int(catalog.passing(filters).sum())
