"""The page Experiments: what was tried on the model, each figure beside its controls, and the whole report.

A report is a file of the workspace, which may be another person's. So it is shown with a policy of its own: nothing in
it runs, and nothing is asked of a network. Only pages of this server may frame it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.exceptions import HTTPException

from autointerp.views.experiments import StoredExperiment, list_experiments, read_experiment
from autointerp.views.figures import figure_text, number_text

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite

REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
_DATA = re.compile(r"(data:image/[a-z+]+;base64,[A-Za-z0-9+/=]*)")
_PICTURES = re.compile(r'<section id="pictures">.*?</section>', re.DOTALL)
_FRAMED = (
    "<style>body { padding: 0 } section { border: 0; border-radius: 0; margin: 0; min-height: 100vh } "
    "section h2 { display: none }</style>"
)

_Name = Annotated[str, Path(max_length=200)]


def routes(site: ViewSite) -> APIRouter:
    """Return the page's routes."""
    router = APIRouter()

    @router.get("/experiments", response_class=HTMLResponse, include_in_schema=False)
    def experiments(embed: str | None = None) -> str:
        found = list_experiments(site.ctx)
        return site.render("experiments.html.j2", embed=embed is not None, page="experiments", found=found)

    @router.get("/experiments/{name}", response_class=HTMLResponse, include_in_schema=False)
    def experiment(name: _Name, embed: str | None = None) -> str:
        shown = read_experiment(site.ctx, name)
        facts = [(key, site.public(value)) for key, value in shown.facts]
        return site.render(
            "experiment.html.j2",
            embed=embed is not None,
            page="experiments",
            shown=shown,
            facts=facts,
            text=figure_text,
            number=number_text,
        )

    @router.get("/experiments/{name}/report", include_in_schema=False)
    def report(name: _Name, part: Literal["pictures"] | None = None) -> Response:
        shown = read_experiment(site.ctx, name)
        if shown.page is None:
            raise HTTPException(404)
        # Base64 looks like paths, and says nothing of this machine.
        whole = shown.page.read_text(encoding="utf-8", errors="replace")
        pieces = _DATA.split(_pictures_of(whole) if part else whole)
        text = "".join(piece if number % 2 else site.public(piece) for number, piece in enumerate(pieces))
        return HTMLResponse(text, headers={"content-security-policy": REPORT_POLICY})

    @router.get("/experiments/{name}/plot.png", include_in_schema=False)
    def plot(name: _Name) -> Response:
        shown = read_experiment(site.ctx, name)
        if shown.plot is None:
            raise HTTPException(404)
        return FileResponse(shown.plot, media_type="image/png")

    @router.get("/api/experiments", summary="Experiments, newest first: the keys of `experiment --json`, and how far")
    def api_experiments() -> list[dict[str, Any]]:
        return [_public(site, one) for one in list_experiments(site.ctx)]

    return router


def _pictures_of(report: str) -> str:
    """Return a report that is cut down to its pictures, to be framed by a page; all of it where there are none.

    A link to that section would do as well, but a browser scrolls the page around the frame to it too.
    """
    found, head = _PICTURES.search(report), report.partition("<body>")[0]
    return f"{head}{_FRAMED}<body><main>{found[0]}</main></body></html>" if found else report


def _public(site: ViewSite, one: StoredExperiment) -> dict[str, Any]:
    """Return an experiment without the paths of this machine."""

    def said(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: said(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [said(inner) for inner in value]
        return site.public(value) if isinstance(value, str) else value

    return dict(said(one.as_dict()))
