"""The page Start: what the workspace holds, along the model, with the work under way and the money spent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from autointerp.views.catalog import STATUSES, CatalogFilters, FeatureCatalog
from autointerp.views.model_layers import layer_spots
from autointerp.views.status import read_status
from autointerp.views.work import work_under_way
from autointerp.web.words import model_name

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite

_BEST = 6
"""Features that the page shows of each dictionary."""


def routes(site: ViewSite) -> APIRouter:
    """Return the page's routes."""
    router = APIRouter()

    @router.get("/", response_class=HTMLResponse, include_in_schema=False)
    def start(embed: str | None = None) -> str:
        status = read_status(site.ctx)
        catalog = site.catalog
        return site.render(
            "start.html.j2",
            embed=embed is not None,
            status=status,
            layers=layer_spots(site.ctx),
            shares={row.dictionary: label_shares(catalog, site, row.dictionary) for row in status.dictionaries},
            best={row.dictionary: best_places(catalog, site, row.dictionary) for row in status.dictionaries},
            catalog=catalog,
            unscored={row.dictionary: unscored_names(catalog, site, row.dictionary) for row in status.dictionaries},
            doubtful=int((catalog.doubts >= 0.5).sum()) if len(catalog) else 0,
            work=work_under_way(site.ctx),
        )

    @router.get("/api/status", summary="What the workspace holds: the keys of `autointerp status --json`")
    def api_status() -> dict[str, Any]:
        found = read_status(site.ctx).as_dict()
        # The folder's path is nobody's business but this machine's.
        return {
            **found,
            "workspace": site.name,
            "model": model_name(found["model"]),
            "work": [one.as_dict() for one in work_under_way(site.ctx)],
        }

    return router


def label_shares(catalog: FeatureCatalog, site: ViewSite, dictionary: str) -> dict[str, int]:
    """Return how many live features of a dictionary have a name, none that fits, a failure or nothing yet."""
    own = catalog.passing(CatalogFilters(_ids(site, dictionary), state="live"))
    return {status: int((catalog.statuses[own] == number).sum()) for number, status in enumerate(STATUSES)}


def unscored_names(catalog: FeatureCatalog, site: ViewSite, dictionary: str) -> int:
    """Return how many live features of a dictionary have a name that is in doubt because it has no score."""
    own = catalog.passing(CatalogFilters(_ids(site, dictionary), state="live", status="ok", min_doubt=1.0))
    return int((own & np.isnan(catalog.scores).all(0)).sum())


def best_places(catalog: FeatureCatalog, site: ViewSite, dictionary: str) -> list[int]:
    """Return the places of a dictionary's best features in the catalog, of each name the first."""
    page = catalog.page(CatalogFilters(_ids(site, dictionary), status="ok"), "score", 50)
    first: dict[str, int] = {}
    for place in page.places:
        first.setdefault(catalog.names[place].lower(), place)
    return list(first.values())[:_BEST]


def _ids(site: ViewSite, dictionary: str) -> list[int]:
    return [site.ctx.dictionary_named(dictionary).id]
