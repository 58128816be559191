"""Pictures and activation maps, which never change under their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from autointerp.crops.maps import decode_map
from autointerp.db import queries
from autointerp.export.gallery import heat_line

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite

# Ids can be given again in a workspace of the same address, so a browser keeps them for an hour alone.
_KEPT = {"cache-control": "private, max-age=3600"}


def routes(site: ViewSite) -> APIRouter:
    """Return the routes of pictures and maps."""
    router = APIRouter(include_in_schema=False)

    @router.get("/pictures/{image}.webp")
    def picture(image: int) -> Response:
        with site.ctx.db.session() as session:
            data = queries.catalog.picture(session, image)
        if data is None:
            raise HTTPException(404)
        return Response(data, media_type="image/webp", headers=_KEPT)

    @router.get("/maps/{crop}.json")
    def heat(crop: int) -> Response:
        with site.ctx.db.session() as session:
            packed = queries.catalog.activation_map(session, crop)
        found: list[Any] | None = None if packed is None else heat_line(decode_map(packed))
        return JSONResponse(found, headers=_KEPT)

    @router.get("/dropped/{name}.png")
    def dropped(name: str) -> Response:
        return FileResponse(site.pictures.path(name), media_type="image/png", headers=_KEPT)

    return router
