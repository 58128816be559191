"""The page Steer: features made stronger or weaker while a picture is painted, in cells that are brushed."""

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from autointerp.export.gallery import visible
from autointerp.views.steerable import MOST_CELLS, read_steerable, read_steerable_feature

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite

LEASH = 20.0
"""Seconds after which a picture is stopped that no page asks for: a page that is open asks several times a second."""
ICON = (2.0, 4.0, 8.0)
"""The strengths of a feature in its icon, beside a picture without it."""
_MOST_STRENGTH = 100.0


def _sensible(strength: float) -> float:
    if not math.isfinite(strength) or abs(strength) > _MOST_STRENGTH:
        raise ValueError(f"should be from -{_MOST_STRENGTH:g} to {_MOST_STRENGTH:g}")
    return strength


Strength = Annotated[float, AfterValidator(_sensible)]
Feature = Annotated[str, Field(min_length=1, max_length=500)]
FeatureChange = tuple[Feature, Strength | Literal["auto"] | None]
"""A feature and how many of its mean activations are added: `auto` is the least that brings it into the picture, and
None takes the feature away."""


class CellsChange(BaseModel):
    """The changed cells take the activations of another prompt's picture of the same seed, at a layer."""

    model_config = ConfigDict(extra="forbid")

    like: str = Field(min_length=1, max_length=2000, description="the other prompt")
    layer: str = Field(min_length=1, max_length=500)


class BrushedCells(BaseModel):
    """Cells that a person brushed: `1` for each that is changed and `0` for any other, row by row."""

    model_config = ConfigDict(extra="forbid")

    rows: int = Field(ge=1, le=MOST_CELLS)
    cols: int = Field(ge=1, le=MOST_CELLS)
    cells: str = Field(max_length=MOST_CELLS**2, pattern="^[01]+$")


class PaintRequest(BaseModel):
    """Pictures of one prompt and seed.

    Attributes:
        prompt: What is painted; empty shows features alone.
        seed: Seed of the noise.
        pictures: Of each picture what is changed: features, and cells of another picture.
        steps: First denoising step and end of the changes, 0-based, end exclusive; None is all steps.
        mask: The cells that are changed; None is all cells.
    """

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field("", max_length=2000)
    seed: int = Field(ge=0, lt=2**32)
    pictures: list[Annotated[list[FeatureChange | CellsChange], Field(max_length=9)]] = Field(
        min_length=1, max_length=12
    )
    steps: tuple[int, int] | None = None
    mask: BrushedCells | None = None


def routes(site: "ViewSite") -> APIRouter:
    """Return the page's routes."""
    router = APIRouter()
    icons: dict[str, str] = {}
    """The tickets of icons, by feature. The worker forgets the oldest."""

    @router.get("/steer", response_class=HTMLResponse, include_in_schema=False)
    def steer(embed: str | None = None) -> str:
        known = read_steerable(site.ctx).as_dict()
        return site.render("steer.html.j2", embed=embed is not None, page="steer", known=known)

    @router.get("/api/steered/{name:path}", summary="A feature to steer by: its name, layer, and unit of strength")
    def steered(name: str) -> dict[str, Any]:
        found = read_steerable_feature(site.ctx, name).as_dict()
        return {**found, "name": visible(found["name"])}

    @router.post("/api/paint", summary="Queue pictures under changes of features; the answer is their ticket")
    def paint(asked: PaintRequest) -> dict[str, Any]:
        ticket = site.painter.submit("paint", asked.model_dump(), LEASH)
        return site.ticket_line(site.painter, ticket)

    @router.get("/api/icons/{name:path}", summary="The ticket of a feature's icon; null where none is painted")
    def painted_icon(name: str) -> dict[str, Any] | None:
        known = icons.get(read_steerable_feature(site.ctx, name).feature)
        if known is None or not site.painter.knows(known):
            return None
        return site.ticket_line(*site.ticket(known))

    @router.post("/api/icons/{name:path}", summary="Queue a feature's icon: what it paints alone, at some strengths")
    def paint_icon(name: str) -> dict[str, Any]:
        feature = read_steerable_feature(site.ctx, name).feature
        alone = [[], *([[feature, strength]] for strength in ICON)]
        asked = PaintRequest.model_validate({"prompt": "", "seed": site.ctx.settings.seed, "pictures": alone})
        ticket = site.painter.submit("paint", asked.model_dump(), LEASH)
        icons[feature] = ticket.id
        return site.ticket_line(site.painter, ticket)

    @router.post("/api/paint/warm", summary="Load the model, so that the first picture does not wait for it")
    def warm() -> dict[str, Any]:
        return site.ticket_line(site.painter, site.painter.submit("warm", {}))

    return router
