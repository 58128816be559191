"""Pictures and activation maps, which never change under their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from autointerp.views.stored_pictures import stored_heat, stored_picture

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite

# Ids can be given again in a workspace of the same address, so a browser keeps them for an hour alone.
_KEPT = {"cache-control": "private, max-age=3600"}


def routes(site: ViewSite) -> APIRouter:
    """Return the routes of pictures and maps."""
    router = APIRouter(include_in_schema=False)

    @router.get("/pictures/{image}.webp")
    def picture(image: int) -> Response:
        data = stored_picture(site.ctx, image)
        if data is None:
            raise HTTPException(404)
        return Response(data, media_type="image/webp", headers=_KEPT)

    @router.get("/maps/{crop}.json")
    def heat(crop: int) -> Response:
        return JSONResponse(stored_heat(site.ctx, crop), headers=_KEPT)

    @router.get("/dropped/{name}.png")
    def dropped(name: str) -> Response:
        return FileResponse(site.pictures.path(name), media_type="image/png", headers=_KEPT)

    return router
