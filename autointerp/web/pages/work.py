"""Work that takes long: how far a ticket is, its files, and its end. Each page queues tickets of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite

_KINDS = {"webp": "image/webp", "json": "application/json"}
_KEPT = {"cache-control": "private, max-age=3600"}


def routes(site: ViewSite) -> APIRouter:
    """Return the routes of tickets."""
    router = APIRouter()

    @router.get("/api/work/{ticket}", summary="How far a piece of work is; its value once it is done")
    def work(ticket: str) -> dict[str, Any]:
        return site.ticket_line(*site.ticket(ticket))

    @router.post("/api/work/{ticket}/stop", summary="Stop a piece of work; what is finished by then is kept")
    def stop(ticket: str) -> dict[str, Any]:
        worker, found = site.ticket(ticket)
        worker.stop(found)
        return site.ticket_line(worker, found)

    @router.get("/made/{ticket}/{name}", include_in_schema=False)
    def file(ticket: str, name: str) -> Response:
        _, found = site.ticket(ticket)
        kind = _KINDS.get(name.rpartition(".")[2])
        if name not in found.files or kind is None:
            raise HTTPException(404)
        return Response(found.files[name], media_type=kind, headers=_KEPT)

    return router
