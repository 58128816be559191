"""The page Picture: what is active in a picture, where, at which step, and what differs from another picture."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from autointerp.views.steerable import read_steerable
from autointerp.web.pages.steer import LEASH

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite


class ReadingRequest(BaseModel):
    """The picture to read: that of a prompt, or one that was dropped, by its id."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field("", max_length=2000)
    picture: str = Field("", max_length=64)
    seed: int = Field(ge=0, lt=2**32)


def routes(site: "ViewSite") -> APIRouter:
    """Return the page's routes."""
    router = APIRouter()

    @router.get("/picture", response_class=HTMLResponse, include_in_schema=False)
    def picture(embed: str | None = None) -> str:
        known = read_steerable(site.ctx).as_dict()
        return site.render("picture.html.j2", embed=embed is not None, page="picture", known=known)

    @router.post("/api/reading", summary="Queue the reading of a picture; the answer is its ticket")
    def reading(asked: ReadingRequest) -> dict[str, Any]:
        path = str(site.pictures.path(asked.picture)) if asked.picture else ""
        ticket = site.painter.submit("read", {**asked.model_dump(), "picture": path}, LEASH)
        return site.ticket_line(site.painter, ticket)

    return router
