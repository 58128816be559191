"""Labels by hand from a page: name, accept, reject, and take back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from autointerp.texts import EXPLANATION, NAME
from autointerp.transfer.label_files.by_hand import HandWork, accept_by_hand, name_by_hand, reject_by_hand, take_back
from autointerp.transfer.label_files.storing import HandLabel
from autointerp.views.listed import read_listed

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite


class HandRequest(BaseModel):
    """What a person says of a feature."""

    feature: str = Field(max_length=500)
    action: Literal["name", "accept", "reject"]
    name: str = Field("", max_length=10 * NAME)
    explanation: str = Field("", max_length=10 * EXPLANATION)


class UndoRequest(BaseModel):
    """The label that is taken back."""

    label: int


def routes(site: ViewSite) -> APIRouter:
    """Return the routes that change labels."""
    router = APIRouter()

    def answer(feature_id: int, **more: Any) -> dict[str, Any]:
        site.catalogs.refresh([feature_id])
        catalog = site.catalog
        place = catalog.place_of(feature_id)
        listed = read_listed(site.ctx, catalog, [] if place is None else [place], 0)
        return {**(listed[0].as_dict() if listed else {}), **more}

    @router.post("/api/labels", summary="Name, accept or reject a feature by hand")
    def label(said: HandRequest) -> dict[str, Any]:
        with site.changing:
            done: HandWork
            if said.action == "reject":
                done = reject_by_hand(site.ctx, said.feature)
            elif said.action == "accept":
                done = accept_by_hand(site.ctx, said.feature)
            else:
                done = name_by_hand(site.ctx, HandLabel(said.feature, said.name, said.explanation))
            return answer(done.feature_id, label=done.label_id, new=done.is_new)

    @router.post("/api/labels/undo", summary="Take back the newest label that a person gave a feature")
    def undo(what: UndoRequest) -> dict[str, Any]:
        with site.changing:
            return answer(take_back(site.ctx, what.label))

    return router
